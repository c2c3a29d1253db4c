"""Going on where a stream broke off: another model says the same again, and what is new is passed on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from llmrouter.dialects.common import loads
from llmrouter.types import Begin, Event, Failure, Finish, Frame, Refusal, Text, Thought, ToolArgs, ToolStart, Wire

from .attempt import Broken

DIVERGED = Failure(
    kind="diverged", scope="request", message="the answer that was to go on said otherwise", by="rescue"
)


class Part(msgspec.Struct, gc=False):
    """One thing that was said: a text, a refusal, or a call of a tool."""

    kind: str
    id: str = ""  # of a call
    pieces: list[str] = msgspec.field(default_factory=list)

    @property
    def said(self) -> str:
        return "".join(self.pieces)


class Said:
    """What a client was told, as one would compare it: text and calls of tools; no thoughts."""

    def __init__(self) -> None:
        self.parts: list[Part] = []

    def take(self, events: Iterable[Event]) -> None:
        for event in events:
            if type(event) is Text or type(event) is Refusal:
                self._add(type(event).__name__, event.text)
            elif type(event) is ToolStart:
                self.parts.append(Part(_call(event), event.id))
            elif type(event) is ToolArgs:
                for part in self.parts:
                    if part.id == event.id:
                        part.pieces.append(event.json)

    @property
    def can_go_on(self) -> bool:
        """A call that was cut cannot: its id and half of its arguments are with the client."""
        return bool(self.parts) and not self.parts[-1].id

    def _add(self, kind: str, text: str) -> None:
        if not self.parts or self.parts[-1].kind != kind:
            self.parts.append(Part(kind))
        self.parts[-1].pieces.append(text)


class Rescue:
    """Compares a second answer with what was said of the first, and passes on what goes beyond it."""

    def __init__(self, said: Said) -> None:
        self._due = [(part.kind, part.said) for part in said.parts]
        self._at = -1  # which part the second answer is in
        self._place = 0  # and how many of the characters of a text were repeated
        self._calls: dict[str, tuple[str, list[str]]] = {}  # id → arguments as they were, and as they are now

    def passed(self, frames: Iterable[Frame]) -> Sequence[Frame]:
        """The frames of what is new. Raises Broken where the second answer says otherwise."""
        found = []
        for frame in frames:
            events = tuple([event for one in frame.events for event in self._event(one)])
            if events:
                found.append(Frame(Wire(frame.wire.dialect, False), b"", events))
        return found

    def _event(self, event: Event) -> Sequence[Event]:
        if type(event) is Begin or type(event) is Thought:
            return ()
        if type(event) is Text or type(event) is Refusal:
            rest = self._spoken(type(event).__name__, event.text)
            return (type(event)(rest),) if rest else ()
        if type(event) is ToolStart and not self._is_beyond:
            self._enter(_call(event))
            if not self._is_beyond:
                self._calls[event.id] = (self._due[self._at][1], [])
                return ()
        elif type(event) is ToolArgs and event.id in self._calls:
            self._calls[event.id][1].append(event.json)
            return ()
        elif type(event) is Finish and not self._is_beyond:
            if not self._is_through:
                raise Broken(DIVERGED)
            self._go_beyond()
        return (event,)

    @property
    def _is_beyond(self) -> bool:
        return self._at >= len(self._due)

    @property
    def _is_through(self) -> bool:
        return self._at == len(self._due) - 1 and self._place == len(self._due[self._at][1])

    def _spoken(self, kind: str, text: str) -> str:
        """What of a text goes beyond what was said; "" while it only repeats."""
        if not self._is_beyond and (self._at < 0 or self._due[self._at][0] != kind):
            self._enter(kind)
        return text if self._is_beyond else self._repeat(text)

    def _enter(self, kind: str) -> None:
        """The next part begins: a text before it must be whole, and this one of the kind that it was."""
        if self._at >= 0 and not _is_call(self._due[self._at][0]) and self._place < len(self._due[self._at][1]):
            raise Broken(DIVERGED)
        if self._at == len(self._due) - 1:
            return self._go_beyond()
        self._at, self._place = self._at + 1, 0
        if self._due[self._at][0] != kind:
            raise Broken(DIVERGED)
        return None

    def _repeat(self, text: str) -> str:
        said = self._due[self._at][1]
        again = min(len(text), len(said) - self._place)
        if text[:again] != said[self._place : self._place + again]:
            raise Broken(DIVERGED)
        self._place += again
        rest = text[again:]
        if rest:
            if self._at < len(self._due) - 1:
                raise Broken(DIVERGED)
            self._go_beyond()
        return rest

    def _go_beyond(self) -> None:
        """What comes now is new. Calls are compared only here: the fragments of several may come by turns."""
        self._at = len(self._due)
        if not all(_same(before, "".join(now)) for before, now in self._calls.values()):
            raise Broken(DIVERGED)


def _call(start: ToolStart) -> str:
    return f"call {start.name}"


def _is_call(kind: str) -> bool:
    return kind.startswith("call ")


def _same(one: str, other: str) -> bool:
    """Whether arguments mean the same: dialects, and models, put blanks where they like."""
    if one == other:
        return True
    try:
        first, second = [
            msgspec.json.encode(loads((said or "{}").encode()), order="sorted") for said in (one, other)
        ]
    except ValueError:
        return False
    return first == second  # not as values: to Python, true is 1
