"""A circuit breaker: opens on failures, lets one probe through, and gives traffic back slowly."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Mapping
from typing import Literal

from attrs import define, field

from llmrouter.settings import BreakerSettings
from llmrouter.types import Kind

from .table import QUICK

BUCKETS = 10
FLAT_OPENINGS = 8
"""Openings in a row that last `open_for`; doubling from the start is late after a short outage."""
JITTER = 0.2
QUICK_FAILURES = 3
PROBES = 2
"""Successes that close the circuit."""
PROBE_WAIT = 1.0
"""Seconds after which to ask again while a probe is under way."""
FORGET = 600.0
"""Seconds of being closed after which earlier openings no longer count."""
FIRST_SHARE = 0.1

State = Literal["closed", "open", "half_open", "ramp"]


@define(eq=False)
class Breaker:
    """The circuit of one scope. Every method is told the time; nothing waits."""

    settings: BreakerSettings
    random: random.Random
    only_quick: bool = False  # a provider's: only failures to reach it count
    openings: int = 0
    open_until: float | None = None  # None: closed
    probing: bool = False
    closed_at: float | None = None  # when it last closed
    last: Kind | None = None
    _successes: int = 0
    _consecutive: float = 0.0
    _quick: int = 0
    _credit: float = 0.0
    _buckets: deque[list[float]] = field(factory=deque)  # [start, calls, weighted failures]

    def state(self, now: float) -> State:
        if self.open_until is not None:
            return "open" if now < self.open_until else "half_open"
        return "ramp" if self.closed_at is not None and now < self.closed_at + self.settings.ramp else "closed"

    def held_until(self, now: float) -> float | None:
        """Until when nothing may pass; None: something may, if only one probe."""
        if self.open_until is None:
            return None
        if now < self.open_until:
            return self.open_until
        return now + PROBE_WAIT if self.probing else None

    def admits(self, now: float) -> bool:
        """After closing, a growing share of what asks: 10 % at first, all after `ramp` seconds."""
        if self.state(now) != "ramp" or self.closed_at is None:
            return True
        self._credit += FIRST_SHARE + (1 - FIRST_SHARE) * (now - self.closed_at) / self.settings.ramp
        if self._credit < 1.0:
            return False
        self._credit -= 1.0
        return True

    def begin(self, now: float) -> bool:
        """A call begins. True if it is the probe: then `success`, `failure` or `release` must say so."""
        if self.state(now) != "half_open" or self.probing:
            return False
        self.probing = True
        return True

    def release(self, probe: bool) -> None:
        """A call ended and says nothing about the upstream's health."""
        if probe:
            self.probing = False

    def success(self, now: float, probe: bool) -> None:
        """A call went well. One from before the opening counts as a probe, too."""
        self.release(probe)
        self._consecutive = self._quick = 0
        if self.open_until is None:
            self._count(now, 0.0)
            return
        self._successes += 1
        if self._successes >= PROBES:
            self.open_until, self.closed_at, self._credit = None, now, 0.0
            self._buckets.clear()

    def failure(self, now: float, kind: Kind, weight: float, probe: bool) -> None:
        self.release(probe)
        self.last = kind
        if self.open_until is not None:
            if probe:
                self._open(now)
            return
        self._count(now, weight)
        self._consecutive += weight
        self._quick = self._quick + 1 if kind in QUICK else 0
        if self._is_too_much():
            self._open(now)

    def snapshot(self, now: float) -> Mapping[str, object]:
        calls, failures = self._sums()
        return {
            "state": self.state(now),
            "until": self.open_until,
            "openings": self.openings,
            "calls": calls,
            "failures": failures,
            "last": self.last,
        }

    def _is_too_much(self) -> bool:
        if self._quick >= QUICK_FAILURES:
            return True
        if self.only_quick:
            return False
        calls, failures = self._sums()
        if self._consecutive >= self.settings.consecutive:
            return True
        return calls >= self.settings.min_requests and failures / calls >= self.settings.failure_ratio

    def _open(self, now: float) -> None:
        if self.closed_at is not None and now - self.closed_at > FORGET:
            self.openings = 0
        self.openings += 1
        doubled = 2.0 ** max(0, self.openings - FLAT_OPENINGS)
        seconds = min(self.settings.open_for * doubled, self.settings.max_open)
        self.open_until = now + seconds * self.random.uniform(1 - JITTER, 1 + JITTER)
        self._successes = self._quick = 0
        self._consecutive = 0.0

    def _count(self, now: float, failures: float) -> None:
        width = self.settings.window / BUCKETS
        start = now - now % width
        while self._buckets and self._buckets[0][0] <= now - self.settings.window:
            self._buckets.popleft()
        if not self._buckets or self._buckets[-1][0] != start:
            self._buckets.append([start, 0.0, 0.0])
        self._buckets[-1][1] += 1
        self._buckets[-1][2] += failures

    def _sums(self) -> tuple[float, float]:
        return sum(bucket[1] for bucket in self._buckets), sum(bucket[2] for bucket in self._buckets)
