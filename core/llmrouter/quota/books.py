"""The arithmetic that every quota store shares: what of one bucket is spent, lent and left."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Self

from attrs import define, field

from llmrouter.types import Ask, Bucket, Exhausted, Granted, Sighting, Unit

from .windows import Window, window

TTL = 1.0
"""Seconds that a slice lives."""
SHARE = 16
"""A slice is at most this part of what is left, so that one worker cannot starve the others."""
SOON = 1.0
"""Seconds after which a place under `concurrent` is worth asking for again: nobody knows when one ends."""
HORIZON = 10.0
"""A lease that ends later than this was written by a clock that has since been set back: it counts as ended."""
CLOSE = 1e-9
"""Sums of dollars are off by less."""

Key = tuple[str, str, str]


def key_of(bucket: Bucket) -> Key:
    """What a bucket is counted under: a changed limit does not begin a new count."""
    return bucket.scope, bucket.unit, bucket.window


@define
class Lease:
    """An amount lent to a worker until `ends`."""

    ends: float
    amount: float


@define(eq=False)
class Book:
    """One bucket in its current window. `limit` is the declared one, `stated` what the provider says it is."""

    limit: float
    unit: Unit
    window: Window
    used: float = 0.0
    ends: float = -math.inf  # of the window
    stated: float | None = None
    leases: list[Lease] = field(factory=list)  # the earliest end first

    @classmethod
    def of(cls, bucket: Bucket) -> Self:
        return cls(bucket.limit, bucket.unit, window(bucket.window))

    @property
    def left(self) -> float:
        """What can still be lent; negative while there is a debt."""
        return self._cap - self.used - sum(lease.amount for lease in self.leases)

    @property
    def gone(self) -> float:
        """What of the declared limit cannot be had now."""
        return self.limit - self.left

    def roll(self, now: float) -> None:
        """Forget what is over. Leases outlive the window: what they are spent on is the next one's."""
        self.leases = [lease for lease in self.leases if now < lease.ends <= now + HORIZON]
        if now >= self.ends:
            self.used, self.ends = 0.0, self.window.bounds(now)[1]

    def slice(self, amount: float) -> float | None:
        """How much to lend to one who asks for `amount`: a share of what is left, at the end just the ask."""
        left = max(0.0, self.left)
        if amount > left + CLOSE:
            return None
        share = left / SHARE if self.unit == "usd" else float(left // SHARE)
        return max(amount, share)

    def retry_at(self, amount: float, now: float) -> float:
        """When `amount` can be had at the earliest, by leases that end and by the window's end."""
        room = self._cap - amount + CLOSE
        used, lent = self.used, sum(lease.amount for lease in self.leases)
        for moment, freed in sorted([(lease.ends, lease.amount) for lease in self.leases] + [(self.ends, 0.0)]):
            used = 0.0 if moment >= self.ends else used
            lent -= freed
            if used + lent <= room:
                return moment if moment < math.inf else now + SOON
        return self.ends if self.ends < math.inf else now + SOON

    def spend(self, amount: float) -> None:
        """Book a delta; what is spent was lent before, as far as anything was."""
        self.used = max(0.0, self.used + amount)
        self.release(amount)

    def release(self, amount: float) -> None:
        """Take back what was lent, the earliest end first: so nothing ends here before its holder lets go of it."""
        while amount > 0 and self.leases:
            first = self.leases[0]
            if first.amount > amount:
                first.amount -= amount
                return
            amount -= first.amount
            del self.leases[0]

    def correct(self, sighting: Sighting, now: float) -> None:
        """Believe the provider. A declared limit that is lower than its own still holds."""
        if sighting.limit is not None:
            self.stated = sighting.limit
        if sighting.remaining is not None:
            whole = self.limit if self.stated is None else self.stated
            self.used = max(0.0, whole - sighting.remaining)
        if sighting.resets_at is not None:
            begins, ends = self.window.bounds(now)
            self.ends = min(sighting.resets_at, now + ends - begins)

    @property
    def _cap(self) -> float:
        return self.limit if self.stated is None else min(self.limit, self.stated)


def lend(asks: Sequence[tuple[Ask, Book]], now: float) -> Granted | Exhausted:
    """All of the asks or none: leases are added to the books, or the bucket named that is the last to have room."""
    lent: list[Book] = []
    amounts: list[float] = []
    refusal: Exhausted | None = None
    for ask, book in asks:
        amount = book.slice(ask.amount)
        if amount is None:
            retry_at = book.retry_at(ask.amount, now)
            if refusal is None or retry_at > refusal.retry_at:
                refusal = Exhausted(ask.bucket, retry_at)
            continue
        book.leases.append(Lease(now + TTL, amount))
        lent.append(book)
        amounts.append(amount)
    if refusal is None:
        return Granted(tuple(amounts), TTL)
    for book in lent:
        book.leases.pop()
    return refusal
