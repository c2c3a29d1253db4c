"""A circuit breaker: opens on failures, lets one probe through, and gives traffic back slowly."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Mapping
from typing import Literal

from attrs import define, field

from llmrouter.settings import BreakerSettings
from llmrouter.types import Kind

from .table import MOST_DOUBLINGS, QUICK

BUCKETS = 10
FLAT_OPENINGS = 8
"""Openings in a row that last `open_for`; doubling from the start is late after a short outage."""
JITTER = 0.2
"""Part of an opening that may be missing. None is longer: with a request every 4 s, 18 s are noticed after 20."""
QUICK_FAILURES = 3
PROBES = 2
"""Successes that close the circuit."""
PROBE_WAIT = 1.0
"""Seconds after which to ask again while a probe is under way."""
FORGET = 600.0
"""Seconds of being closed after which earlier openings no longer count."""
FIRST_SHARE = 0.1
MOST_CREDIT = 2.0
"""Calls that may be saved up in the ramp while something else stood in their way."""

State = Literal["closed", "open", "half_open", "ramp"]


@define(eq=False)
class Breaker:
    """The circuit of one scope. Every method is told the time; nothing waits."""

    scope: str
    settings: BreakerSettings
    random: random.Random
    only_quick: bool = False  # a provider's: only failures to reach it count
    openings: int = 0
    open_until: float | None = None  # None: closed
    probing: bool = False  # a probe is under way; whoever sends it says so, and when it is over
    closed_at: float | None = None  # when it last closed
    last: Kind | None = None
    _elsewhere_until: float = 0.0  # another worker probes
    _successes: int = 0
    _consecutive: float = 0.0
    _quick: int = 0
    _credit: float = 0.0
    _buckets: deque[list[float]] = field(factory=deque)  # [start, calls, weighted failures]
    _bucket_ends: float = 0.0  # the last of them

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
        if self.probing:
            return now + PROBE_WAIT
        return self._elsewhere_until if now < self._elsewhere_until else None

    def asked(self, now: float) -> bool:
        """Whether a call may pass in the ramp; the credit of all that ask grows, `admit` spends it.

        The share grows with the square of the time, from 10 % to all of it after `ramp` seconds: in a straight
        line a provider that has just recovered would see 25 % of its traffic within 10 s, so it is 13 %.
        """
        if self.state(now) != "ramp" or self.closed_at is None:
            return True
        part = (now - self.closed_at) / self.settings.ramp
        self._credit = min(self._credit + FIRST_SHARE + (1 - FIRST_SHARE) * part * part, MOST_CREDIT)
        return self._credit >= 1.0

    def admit(self, now: float) -> None:
        """A call passes."""
        if self.state(now) == "ramp":
            self._credit -= 1.0

    def wants_probe(self, now: float) -> bool:
        return self.open_until is not None and now >= self.open_until and not self.probing

    def probed_elsewhere(self, now: float) -> None:
        self._elsewhere_until = now + PROBE_WAIT

    def success(self, now: float, probe: bool, weight: float = 0.0) -> None:
        """A call was answered. One from before the opening counts as a probe, too.

        `weight` is how much of a failure the answer was; one that would open a circuit does not close it.
        """
        if self.open_until is None:
            self._consecutive = self._quick = 0
            self._count(now, weight)
            if weight and self._is_too_much():
                self._open(now)
        elif weight >= self.settings.failure_ratio:
            if probe:
                self._open(now)
        else:
            self._probed(now)

    def reached(self) -> None:
        """The upstream said something, if only no."""
        self._quick = 0

    def failure(self, now: float, kind: Kind, weight: float, probe: bool, began: float) -> None:
        """A call that began then has failed. One from before the circuit closed says nothing of what is now."""
        self.last = kind
        if self.open_until is not None:
            if probe:
                self._open(now)
            return
        if self.closed_at is not None and began < self.closed_at:
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

    def _probed(self, now: float) -> None:
        self._successes += 1
        if self._successes >= PROBES:
            self.open_until, self.closed_at, self._credit = None, now, 0.0
            self._consecutive = self._quick = 0
            self._buckets.clear()
            self._bucket_ends = 0.0

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
        doubled = 2.0 ** min(max(0, self.openings - FLAT_OPENINGS), MOST_DOUBLINGS)
        seconds = min(self.settings.open_for * doubled, self.settings.max_open)
        self.open_until = now + seconds * self.random.uniform(1 - JITTER, 1.0)
        self._successes = self._quick = 0
        self._consecutive = 0.0

    def _count(self, now: float, failures: float) -> None:
        if now >= self._bucket_ends:
            self._begin_bucket(now)
        bucket = self._buckets[-1]
        bucket[1] += 1
        if failures:
            bucket[2] += failures

    def _begin_bucket(self, now: float) -> None:
        buckets, width = self._buckets, self.settings.window / BUCKETS
        while buckets and buckets[0][0] <= now - self.settings.window:
            buckets.popleft()
        start = now - now % width
        self._bucket_ends = start + width
        buckets.append([start, 0.0, 0.0])

    def _sums(self) -> tuple[float, float]:
        return sum(bucket[1] for bucket in self._buckets), sum(bucket[2] for bucket in self._buckets)
