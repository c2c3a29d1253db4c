"""What a vendor demands back of a turn that called tools: its thoughts, and the signatures of its calls.

Clients drop what their dialect has no place for. So the turn is kept under its first call, which every client
sends back, and put in again when the conversation returns to the same dialect. The id of a call is not enough: some
vendors count theirs anew in every answer, and the thoughts of one conversation must not come up in another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any

import msgspec

from llmrouter.types import Event, Finish, Keep, Text, Thought, ToolArgs, ToolStart, Value

from .calls import arguments_of
from .meaning import Meaning

PREFIX = "turn:"
_NOTED = frozenset({Thought, ToolStart, ToolArgs, Finish})

_turns: msgspec.json.Decoder[Turn]


class Turn(Value, frozen=True):
    """A turn as its vendor wants it back. `signatures` are by the ids of its calls."""

    source: str  # the dialect it was said in
    thoughts: tuple[Thought, ...]
    signatures: Mapping[str, str]


def _number(said: str) -> float | int:
    value = float(said)
    return int(value) if value.is_integer() else value


_turns = msgspec.json.Decoder(Turn)
_alike = msgspec.json.Decoder(float_hook=_number)  # to clients in JavaScript 1.0 is 1


def name_of(call_id: str, arguments: Any) -> str:
    """The name under which the turn is kept whose first call has this id and these arguments, an object."""
    said = msgspec.json.encode(_alike.decode(msgspec.json.encode(arguments)), order="sorted")
    return f"{PREFIX}{call_id}:{blake2b(said, digest_size=8).hexdigest()}"


def recalled(found: Mapping[str, bytes], name: str, source: str) -> Turn | None:
    """The turn of this name, if it was kept and was said in the dialect `source`."""
    kept = found.get(name)
    turn = _turns.decode(kept) if kept else None
    return turn if turn and turn.source == source else None


def gathered(thoughts: Sequence[Thought]) -> tuple[Thought, ...]:
    """Fragments → whole thoughts: one ends with its signature, a redacted one stands for itself."""
    whole: list[Thought] = []
    texts: list[str] = []
    for one in thoughts:
        if one.redacted:
            whole += [Thought("".join(texts))] if texts else []
            whole.append(one)
            texts = []
            continue
        texts.append(one.text)
        if one.signature:
            whole.append(Thought("".join(texts), one.signature, one.source))
            texts = []
    return (*whole, Thought("".join(texts))) if "".join(texts) else tuple(whole)


class Noted:
    """A `Meaning` that announces the turn for keeping when its answer has finished."""

    def __init__(self, dialect: str, meaning: Meaning) -> None:
        self._dialect, self._meaning = dialect, meaning
        self._thoughts: list[Thought] = []
        self._first = ""  # id of the first call
        self._arguments: list[str] = []  # fragments of those of the first call
        self._signatures: dict[str, str] = {}

    def event(self, data: bytes, name: str) -> Sequence[Event]:
        events = self._meaning.event(data, name)
        for event in events:
            if type(event) is not Text:  # nearly all are
                return self._note(events)
        return events

    def body(self, data: bytes) -> Sequence[Event]:
        return self._note(self._meaning.body(data))

    def done(self) -> Sequence[Event]:
        return self._note(self._meaning.done())

    def _note(self, events: Sequence[Event]) -> Sequence[Event]:
        for event in events:
            if type(event) not in _NOTED:  # `isinstance` asks the metaclass of a struct: that takes its time
                continue
            if type(event) is Thought:
                self._thoughts.append(event)
            elif type(event) is ToolStart:
                self._first = self._first or event.id
                if event.signature:
                    self._signatures[event.id] = event.signature
            elif type(event) is ToolArgs:
                if event.id == self._first:
                    self._arguments.append(event.json)
            elif self._first and (self._thoughts or self._signatures):
                return [self._kept(), *events]
        return events

    def _kept(self) -> Keep:
        turn = Turn(self._dialect, gathered(self._thoughts), self._signatures)
        name = name_of(self._first, arguments_of("".join(self._arguments)))
        return Keep(name, msgspec.json.encode(turn))
