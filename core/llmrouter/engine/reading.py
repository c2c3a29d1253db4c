"""What the frames of one answer mean, noted as they come, and whether they may be written yet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

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

from .inspection import LOOP, Inspection
from .loops import Strand

LIVELY = (Thought, ToolArgs)
"""Output between which a model may be silent for longer."""
SPOKEN = frozenset(OUTPUT)


class Reading(msgspec.Struct, eq=False):
    """What is known of one answer so far. `see` is told of its frames, and `flow` of when they are written."""

    clock: Clock
    whole: bool = False  # the answer is held back until it is finished
    calls: bool = False  # and so is it from its first tool call on
    skips: bool = False  # an event that cannot be read is left out of what is written
    counts: bool = False  # somebody asks for a rate
    inspection: Inspection | None = None
    first_output: float | None = None
    usage: Usage | None = None
    via: str = ""
    holds: bool = True  # what was read so far must not be written yet
    flows: bool = False  # what comes now is written as it comes: neither held, nor broken, nor finished
    given: bool = False  # some of it was written: what is wrong from then on can only be told
    lively: bool = False  # the last output was a thought, or a part of a tool call
    characters: int = 0  # of output; counted only where somebody asks for a rate
    finished: bool = False  # a Finish was seen
    fault: Fault | None = None  # to be judged once what came before it was taken
    flaw: Failure | None = None
    last: type[Event] | None = None  # the kind of the last output, where more of it is only added to the `strand`
    strand: Strand | None = None

    def flow(self) -> None:
        """What was held back is written, and what comes after it will be as soon as it may."""
        self.given = True
        self.flows = not (self.whole or self.finished)
        self.holds = self.whole and not self.finished

    def see(self, frames: Sequence[Frame]) -> Sequence[Frame]:
        """Note what the frames mean. What comes with or after a fault is left out."""
        last, strand = self.last, self.strand
        event: Any  # its kind is asked once
        for frame in frames:
            for event in frame.events:
                kind = type(event)
                if kind is last and strand:  # nearly all are: one word after the other
                    text = event.text
                    strand.pieces.append(text)  # what `add` does, without a call for each word
                    size = strand.size = strand.size + len(text)
                    if size >= strand.due and strand.loops():
                        self._flawed(LOOP)
                elif kind in SPOKEN:  # `isinstance` asks the metaclass of a struct, and that takes its time
                    self._spoken(event, kind)
                    last, strand = self.last, self.strand
                elif kind is Begin:
                    self.via = event.via
                elif kind is Spent:
                    self.usage = event.usage
                elif kind is Finish:
                    self._finish(event)
                elif kind is Fault:
                    return self._legible(frames, frame, event)
        return frames

    def _spoken(self, event: Event, kind: type[Event]) -> None:
        if self.first_output is None:
            self.first_output = self.clock()
            if not self.whole:
                self.holds = False
        self.lively = kind in LIVELY
        if kind is ToolStart and self.calls and not self.finished:
            self.holds, self.flows = True, False
        if self.counts:
            self.characters += len(getattr(event, "text", "") or getattr(event, "json", ""))
        if inspection := self.inspection:
            if wrong := inspection.see(event):
                self._flawed(wrong)
            if not self.counts:
                self.last, self.strand = kind, inspection.strand(kind)

    def _finish(self, finish: Finish) -> None:
        if not self.finished and self.inspection and (wrong := self.inspection.end(finish.reason)):
            self._flawed(wrong)
        self.finished, self.holds, self.flows = True, False, False

    def _flawed(self, wrong: str) -> None:
        if self.flaw is None:
            self.flaw = Failure(kind="degraded", scope="endpoint", message=wrong, by="answer")

    def _legible(self, frames: Sequence[Frame], faulty: Frame, fault: Fault) -> Sequence[Frame]:
        """The frames before the fault; and those after it, where it may be left out of the answer.

        One that holds a fault is emptied: no client could read it either.
        """
        place = frames.index(faulty)
        if self.skips and self.given and fault.malformed:
            return [*frames[:place], Frame(faulty.wire, b"", ()), *self.see(frames[place + 1 :])]
        self.fault, self.flows = fault, False
        return frames[:place]
