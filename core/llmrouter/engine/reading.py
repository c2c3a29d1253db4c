"""What the frames of one answer mean, noted as they come, and whether they may be written yet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import takewhile

from llmrouter.protocols import Clock
from llmrouter.types import (
    OUTPUT,
    Begin,
    Event,
    Failure,
    Fault,
    Finish,
    Frame,
    Spent,
    Text,
    Thought,
    ToolArgs,
    ToolStart,
    Usage,
)

from .inspection import LOOP, Inspection

LIVELY = (Thought, ToolArgs)
"""Output between which a model may be silent for longer."""


class Reading:
    """`whole` holds an answer back until it is finished, `calls` does from its first tool call on.

    `given` is set by who writes: what is wrong from then on can only be told.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        whole: bool = False,
        calls: bool = False,
        skips: bool = False,
        counts: bool = False,
        inspection: Inspection | None = None,
    ) -> None:
        self._clock, self._calls, self._skips, self._counts = clock, calls, skips, counts
        self._inspection = inspection
        self.first_output: float | None = None
        self.usage: Usage | None = None
        self.via = ""
        self.keeps = whole  # what comes now must not be written before the finish
        self.given = False
        self.lively = False  # the last output was a thought, or a part of a tool call
        self.characters = 0  # of output; counted only where somebody asks for a rate
        self.finished = False  # a Finish was seen
        self.fault: Fault | None = None  # to be judged once what came before it was taken
        self.flaw: Failure | None = None
        self._hears: Callable[[str], bool] | None = None  # takes text that is like the one before

    @property
    def holds(self) -> bool:
        """Whether what was read so far must not be written yet."""
        return self.keeps or (self.first_output is None and not self.finished)

    def see(self, frames: Sequence[Frame]) -> Sequence[Frame]:
        """Note what the frames mean. What comes with or after a fault is left out."""
        hears, faulty = self._hears, False
        for frame in frames:
            for event in frame.events:
                kind = type(event)
                if kind is Text and hears:  # nearly all are
                    if hears(event.text):  # type: ignore[union-attr]
                        self._flawed(LOOP)
                elif kind in OUTPUT:  # `isinstance` asks the metaclass of a struct, and that takes its time
                    self._spoken(event, kind)
                elif kind is Fault:
                    faulty = True
                    if not self._passes(event):  # type: ignore[arg-type]
                        return _legible(frames, frame)
                else:
                    self._note(event)
        return _legible(frames) if faulty else frames

    def _note(self, event: Event) -> None:
        if type(event) is Spent:
            self.usage = event.usage
        elif type(event) is Begin:
            self.via = event.via
        elif type(event) is Finish:
            self._finish(event)

    def _spoken(self, event: Event, kind: type[Event]) -> None:
        if self.first_output is None:
            self.first_output = self._clock()
        inspection = self._inspection
        self.lively = kind in LIVELY
        if kind is ToolStart and self._calls and not self.finished:
            self.keeps = True
        if self._counts:
            self.characters += len(getattr(event, "text", "") or getattr(event, "json", ""))
        elif inspection:
            self._hears = None if self.lively else inspection.hears  # until it says something else than text
        if inspection and (wrong := inspection.see(event)):
            self._flawed(wrong)

    def _finish(self, finish: Finish) -> None:
        if not self.finished and self._inspection and (wrong := self._inspection.end(finish.reason)):
            self._flawed(wrong)
        self.finished, self.keeps = True, False

    def _flawed(self, wrong: str) -> None:
        if self.flaw is None:
            self.flaw = Failure(kind="degraded", scope="endpoint", message=wrong, by="answer")

    def _passes(self, fault: Fault) -> bool:
        """Whether an event that cannot be read is left out of the answer; else it is its end."""
        if self._skips and self.given and fault.malformed:
            return True
        self.fault = fault
        return False


def _legible(frames: Sequence[Frame], end: Frame | None = None) -> Sequence[Frame]:
    """The frames before `end`. One that holds a fault is emptied: no client could read it either."""
    return [
        Frame(frame.wire, b"", ()) if any(type(event) is Fault for event in frame.events) else frame
        for frame in takewhile(lambda frame: frame is not end, frames)
    ]
