"""How long an attempt may be silent: one timer that watches all of it."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from llmrouter.protocols import Reply
from llmrouter.types import Failure, Kind

from .reading import Reading

AFTER_FINISH = 2.0
"""Seconds that usage and end mark may take once an answer is whole."""
LIVELY = 2.0
"""How much longer a silence may last between thoughts and between parts of tool calls."""
RATE_WINDOW = 10.0
"""Seconds over which the rate of an answer is measured."""


class Patience(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """How long an attempt may be silent, in seconds; `deadline` is on the loop's clock."""

    headers: float
    ttft: float  # as long as that for the headers, at least
    idle: float
    deadline: float
    max_answer: int  # bytes of one plain answer, and of one that is held back whole
    min_rate: float | None = None  # characters per second, while nothing was written


class Silence:
    """Ends the wait for the headers, then closes the reply, when a limit has passed; `expired` says which."""

    def __init__(self, patience: Patience, reading: Reading, waiting: asyncio.Task[Any]) -> None:
        """A request is sent: it is the task `waiting` that waits for the headers."""
        self._patience, self._reading = patience, reading
        self._loop = loop = waiting.get_loop()
        self.time = loop.time
        self._waiting: asyncio.Task[Any] | None = waiting
        self.expired: Failure | None = None
        self.reply: Reply | None = None
        self._rate_at = 0.0  # when the rate is looked at next
        self._counted = 0  # characters when it was looked at last
        sent = self._sent_at = self.heard_at = loop.time()
        self._wake_at(min(sent + patience.headers, sent + patience.idle, patience.deadline))  # fits all waits

    def headed(self, reply: Reply | None) -> None:
        """The wait for the headers is over, in one way or the other."""
        self._waiting, self.reply, self.heard_at = None, reply, self.time()

    def heard(self) -> None:
        """Something came. Who only passes it on sets `heard_at` alone: the rate matters where it is held back."""
        self.heard_at = self.time()
        if self._patience.min_rate and not self._rate_at and self._reading.first_output is not None:
            self.hurry()  # from now on the rate is looked at

    def hurry(self) -> None:
        """Something is due sooner now: set the timer anew, unless it comes in time as it is."""
        due, _ = self._due()
        if due < self._wakes_at:
            self._timer.cancel()
            self._wake_at(due)

    def end(self) -> None:
        self._timer.cancel()

    def _wake_at(self, at: float) -> None:
        self._wakes_at, self._timer = at, self._loop.call_at(at, self._wake)

    def _wake(self) -> None:
        """When it comes too early, it only sets itself again."""
        due, kind = self._due()
        if self._loop.time() < due:
            return self._wake_at(due)
        waited = due - self._sent_at
        message = f"no answer within {waited:.1f} s" if self._waiting else f"silent for {waited:.1f} s"
        if due == self._rate_at:
            if self._keeps_pace():
                return self._wake_at(self._due()[0])
            message = f"fewer than {self._patience.min_rate:g} characters per second"
        self.expired = Failure(kind=kind, scope="endpoint", message=message, by="clock")
        if self._waiting:
            self._waiting.cancel()
        elif self.reply:
            self.reply.close()
        return None

    def _keeps_pace(self) -> bool:
        """Whether enough was said since the rate was looked at last."""
        said, self._counted = self._reading.characters - self._counted, self._reading.characters
        self._rate_at += RATE_WINDOW
        return said >= RATE_WINDOW * (self._patience.min_rate or 0.0)

    def _due(self) -> tuple[float, Kind]:
        patience, reading = self._patience, self._reading
        if self._waiting:
            return self._sent_at + patience.headers, "timeout_headers"
        idle = patience.idle * LIVELY if reading.lively else patience.idle
        due = self.heard_at + (AFTER_FINISH if reading.finished else idle)
        kind: Kind = "stall"
        if reading.first_output is None:
            if self._sent_at + patience.ttft < due:
                due, kind = self._sent_at + patience.ttft, "timeout_ttft"
        elif patience.min_rate and reading.holds:
            self._rate_at = self._rate_at or self._loop.time() + RATE_WINDOW
            due = min(due, self._rate_at)
        return (patience.deadline, "stall") if patience.deadline < due else (due, kind)
