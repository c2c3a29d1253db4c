"""What the frames of one answer mean, noted as they come, and whether they may be written yet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

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
    Thought,
    ToolArgs,
    ToolStart,
    Usage,
)

LIVELY = (Thought, ToolArgs)
"""Output between which a model may be silent for longer."""


class Inspects(Protocol):
    """Reads along and says what is wrong with an answer; "" while nothing is."""

    def see(self, event: Event) -> str: ...
    def end(self, reason: str) -> str: ...


class Reading:
    """`whole` holds an answer back until it is finished, `calls` does from its first tool call on.

    `given` is set by who writes: what is wrong from then on can only be told.
    """

    # What most answers never set is a default of the class, so that beginning one is cheap.
    first_output: float | None = None
    usage: Usage | None = None
    via = ""
    finished = False  # a Finish was seen
    given = False
    lively = False  # the last output was a thought, or a part of a tool call
    fault: Fault | None = None  # to be judged once what came before it was taken
    flaw: Failure | None = None
    characters = 0  # of output; counted only where somebody asks for a rate
    _called = False

    def __init__(
        self,
        clock: Clock,
        *,
        whole: bool = False,
        calls: bool = False,
        skips: bool = False,
        counts: bool = False,
        inspection: Inspects | None = None,
    ) -> None:
        self._clock, self._whole, self._calls, self._skips, self._counts = clock, whole, calls, skips, counts
        self._inspection = inspection

    @property
    def holds(self) -> bool:
        """Whether what was read so far must not be written yet."""
        if self.finished:
            return False
        return self._whole or self.first_output is None or (self._calls and self._called)

    @property
    def keeps(self) -> bool:
        """The same, of an answer from which something was written."""
        return not self.finished and (self._whole or (self._calls and self._called))

    def see(self, frames: list[Frame]) -> Sequence[Frame]:
        """Note what the frames mean. What comes with or after a fault is left out."""
        for place, frame in enumerate(frames):
            for event in frame.events:
                kind = type(event)
                if kind in OUTPUT:  # `isinstance` asks the metaclass of a struct, and that takes its time
                    self._spoken(event, kind)
                elif kind is Spent:
                    self.usage = event.usage  # type: ignore[union-attr]
                elif kind is Begin:
                    self.via = event.via  # type: ignore[union-attr]
                elif kind is Fault:
                    if not self._passes(event):  # type: ignore[arg-type]
                        self.fault = event  # type: ignore[assignment]
                        return frames[:place]
                    frames[place] = Frame(frame.wire, b"", ())  # nor could its client read it
                if self._inspection:
                    self._inspect(self._inspection, event)
                if kind is Finish:
                    self.finished = True
        return frames

    def _spoken(self, event: Event, kind: type[Event]) -> None:
        if self.first_output is None:
            self.first_output = self._clock()
        self.lively = kind in LIVELY
        if kind is ToolStart:
            self._called = True
        if self._counts:
            self.characters += len(getattr(event, "text", "") or getattr(event, "json", ""))

    def _passes(self, fault: Fault) -> bool:
        """Whether an event that cannot be read is left out of the answer."""
        return self._skips and self.given and fault.malformed

    def _inspect(self, inspection: Inspects, event: Event) -> None:
        wrong = inspection.end(event.reason) if type(event) is Finish else inspection.see(event)
        if wrong and self.flaw is None:
            self.flaw = Failure(kind="degraded", scope="endpoint", message=wrong, by="answer")
