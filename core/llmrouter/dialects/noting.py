"""What a vendor demands back of a turn that called tools: its thoughts, and the signatures of its calls.

Clients drop what their dialect has no place for. So the turn is kept under the id of its first call, which every
client sends back, and put in again when the conversation returns to the same dialect.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from llmrouter.types import Event, Finish, Keep, Thought, ToolStart, Value

from .meaning import Meaning

PREFIX = "turn:"

_turns: msgspec.json.Decoder[Turn]


class Turn(Value, frozen=True):
    """A turn as its vendor wants it back. `signatures` are by the ids of its calls."""

    source: str  # the dialect it was said in
    thoughts: tuple[Thought, ...]
    signatures: Mapping[str, str]


_turns = msgspec.json.Decoder(Turn)


def name_of(call_id: str) -> str:
    """The name under which the turn that began with this call is kept."""
    return PREFIX + call_id


def recalled(found: Mapping[str, bytes], call_id: str, source: str) -> Turn | None:
    """The turn that began with this call, if it was kept and was said in the dialect `source`."""
    kept = found.get(name_of(call_id))
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
        self._signatures: dict[str, str] = {}

    def event(self, data: bytes, name: str) -> Sequence[Event]:
        return self._note(self._meaning.event(data, name))

    def body(self, data: bytes) -> Sequence[Event]:
        return self._note(self._meaning.body(data))

    def done(self) -> Sequence[Event]:
        return self._note(self._meaning.done())

    def _note(self, events: Sequence[Event]) -> Sequence[Event]:
        for event in events:
            kind = type(event)
            if kind is Thought:
                self._thoughts.append(event)  # type: ignore[arg-type]
            elif isinstance(event, ToolStart):
                self._first = self._first or event.id
                if event.signature:
                    self._signatures[event.id] = event.signature
            elif kind is Finish and self._first and (self._thoughts or self._signatures):
                return [self._kept(), *events]
        return events

    def _kept(self) -> Keep:
        turn = Turn(self._dialect, gathered(self._thoughts), self._signatures)
        return Keep(name_of(self._first), msgspec.json.encode(turn))
