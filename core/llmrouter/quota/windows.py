"""Windows of limits: when the one that holds a moment began, and when it ends.

Windows are fixed, they do not slide. Without a time zone they are aligned to the epoch in UTC: "minute" begins
with the minute, "5h" at multiples of five hours since 1970-01-01T00:00Z, "week" on Monday, "month" on the first.
With a zone ("day America/Los_Angeles", "day 04:00 Europe/Berlin") they follow its calendar: a day on which the
clocks change has 23 or 25 hours.
"""

from __future__ import annotations

import math
import re
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from typing import Protocol
from zoneinfo import ZoneInfo

from attrs import frozen

DAY = 86_400.0
LENGTHS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": DAY}
NAMED = {"second": "1s", "minute": "1m", "hour": "1h", "day": "1d"}
MONDAY = 4 * DAY
"""The first Monday after the epoch, which was a Thursday."""

LENGTH = re.compile(r"([1-9][0-9]*)([smhd])")
CALENDAR = re.compile(r"(day|week|month)(?: ([01][0-9]|2[0-3]):([0-5][0-9]))?(?: ([^\d\s]\S*))?")


class Window(Protocol):
    def bounds(self, now: float) -> tuple[float, float]:
        """Beginning and end of the window that holds `now`: begins ≤ now < ends, seconds since the epoch."""
        ...


@frozen
class Even:
    """Windows of one length, side by side since `offset`; seconds."""

    length: float
    offset: float = 0.0

    def bounds(self, now: float) -> tuple[float, float]:
        begins = now - (now - self.offset) % self.length
        return begins, begins + self.length


@frozen
class Calendar:
    """Days, weeks or months of a time zone. A time that its clocks skip or repeat is the first moment that fits."""

    period: str  # day, week or month
    at: time
    zone: ZoneInfo

    def bounds(self, now: float) -> tuple[float, float]:
        first = self._first(datetime.fromtimestamp(now, self.zone).date())
        begins = self._moment(first)
        if now < begins:
            return self._moment(self._first(first - timedelta(days=1))), begins
        return begins, self._moment(self._first(first + timedelta(days=self._longest)))

    def _first(self, day: date) -> date:
        if self.period == "month":
            return day.replace(day=1)
        return day - timedelta(days=day.weekday()) if self.period == "week" else day

    @property
    def _longest(self) -> int:
        """Days from the first of a period into the next one."""
        return {"day": 1, "week": 7, "month": 31}[self.period]

    def _moment(self, day: date) -> float:
        return datetime.combine(day, self.at, self.zone).timestamp()


@frozen
class Endless:
    """The window of what is never reset, such as `concurrent`."""

    def bounds(self, now: float) -> tuple[float, float]:
        return -math.inf, math.inf


@lru_cache(maxsize=1024)
def window(spec: str) -> Window:
    """The windows that a `Bucket.window` means. Raises ValueError for what is none."""
    if not spec:
        return Endless()
    if spec == "week":
        return Even(7 * DAY, MONDAY)
    if length := LENGTH.fullmatch(NAMED.get(spec, spec)):
        return Even(int(length[1]) * LENGTHS[length[2]])
    if calendar := CALENDAR.fullmatch(spec):
        period, hour, minute, zone = calendar.groups()
        return Calendar(period, time(int(hour or 0), int(minute or 0)), _zone(zone or "UTC", spec))
    raise ValueError(f"{spec!r} is no window: minute, hour, day, week, month, 5h, or day America/Los_Angeles")


def _zone(name: str, spec: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise ValueError(f"{name!r} in the window {spec!r} is no time zone") from error


def same_window(sighted: str, declared: str) -> bool:
    """Whether a window as a provider names it is the declared one; a provider need not know its time zone."""
    return declared == sighted or declared.startswith(f"{sighted} ")
