"""Going on where a stream broke off: another model says the same again, and what is new is passed on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from llmrouter.types import Begin, Event, Failure, Finish, Frame, Refusal, Text, Thought, ToolArgs, ToolStart, Wire

from .attempt import Broken

DIVERGED = Failure(
    kind="diverged", scope="request", message="the answer that was to go on said otherwise", by="rescue"
)


class Said:
    """What a client was told, as one would compare it: text and calls of tools; no thoughts, no ids."""

    def __init__(self) -> None:
        self.parts: list[tuple[str, list[str]]] = []  # (what it is, its pieces)

    def take(self, events: Iterable[Event]) -> None:
        for event in events:
            if type(event) is Text or type(event) is Refusal:
                self._add(type(event).__name__, event.text)
            elif type(event) is ToolStart:
                self.parts.append((f"call {event.name}", []))
            elif type(event) is ToolArgs and self.parts:
                self.parts[-1][1].append(event.json)

    @property
    def can_go_on(self) -> bool:
        """A call that was cut cannot: its id and half of its arguments are with the client."""
        return bool(self.parts) and not self.parts[-1][0].startswith("call ")

    def _add(self, kind: str, text: str) -> None:
        if self.parts and self.parts[-1][0] == kind:
            self.parts[-1][1].append(text)
        else:
            self.parts.append((kind, [text]))


class Rescue:
    """Compares a second answer with what was said of the first, and passes on what goes beyond it."""

    def __init__(self, said: Said) -> None:
        self._due = [(kind, "".join(pieces)) for kind, pieces in said.parts]
        self._at = -1  # which part the second answer is in
        self._place = 0  # and how many of its characters were repeated

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
            self._enter(f"call {event.name}")
        elif type(event) is ToolArgs and not self._is_beyond:
            if self._repeat(event.json):
                raise Broken(DIVERGED)
            return ()
        elif type(event) is Finish and not self._is_beyond and not self._is_through:
            raise Broken(DIVERGED)
        return (event,) if self._is_beyond or type(event) is not ToolStart else ()

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
        """The next part begins: the one before must be whole, and this one the same as it was."""
        if self._at >= 0 and self._place < len(self._due[self._at][1]):
            raise Broken(DIVERGED)
        self._at, self._place = self._at + 1, 0
        if not self._is_beyond and self._due[self._at][0] != kind:
            raise Broken(DIVERGED)

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
            self._at += 1
        return rest
