"""Fakes that suspend wherever the real ones may, and a quota that knows how each reservation was closed."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from attrs import define, field

from llmrouter.engine.memory_quota import MemoryQuota
from llmrouter.engine.quota import Quota
from llmrouter.protocols import Clock, QuotaStore, Reservation
from llmrouter.types import Ask, Bucket, Exhausted, Granted, Sighting, Unit
from tests.house import Socket

Spent = Mapping[Unit, float]


class SlowStore:
    """Suspends before and after: a cancel may strand what was granted there and is not yet known here."""

    def __init__(self) -> None:
        self.inner = MemoryQuota(asyncio.get_running_loop().time)

    async def grant(self, asks: Sequence[Ask]) -> Granted | Exhausted:
        await asyncio.sleep(0)
        granted = await self.inner.grant(asks)
        await asyncio.sleep(0)
        return granted

    async def settle(self, spent: Mapping[Bucket, float], unspent: Mapping[Bucket, float]) -> None:
        await asyncio.sleep(0)
        await self.inner.settle(spent, unspent)

    async def correct(self, sightings: Sequence[Sighting]) -> None:
        await self.inner.correct(sightings)

    async def usage(self, buckets: Sequence[Bucket]) -> Mapping[Bucket, float]:
        return await self.inner.usage(buckets)


class SlowSocket(Socket):
    async def start(self, status: int, headers: Mapping[str, str]) -> None:
        await asyncio.sleep(0)
        await super().start(status, headers)

    async def write(self, data: bytes) -> None:
        await asyncio.sleep(0)
        await super().write(data)


@define(eq=False)
class Counted:
    """A reservation that knows how it was closed."""

    inner: Reservation
    asks: Sequence[Ask]
    closed: list[Spent | None] = field(factory=list)

    def close(self, spent: Spent | None) -> None:
        self.closed.append(spent)
        assert len(self.closed) == 1, "a reservation is closed twice"
        self.inner.close(spent)

    def booked(self, bucket: Bucket) -> float:
        """What of the bucket was spent in the end."""
        amount = sum(ask.amount for ask in self.asks if ask.bucket == bucket)
        [spent] = self.closed
        return amount if spent is None else spent.get(bucket.unit, 0.0) if amount else 0.0


class CountingQuota(Quota):
    """Keeps every reservation it gave."""

    def __init__(self, store: QuotaStore, clock: Clock) -> None:
        super().__init__(store, clock, "open")
        self.given: list[Counted] = []

    def take(self, asks: Sequence[Ask], now: float | None = None) -> Reservation | None:
        taken = super().take(asks, now)
        return self._counted(taken, asks) if taken and asks else taken

    async def reserve(self, asks: Sequence[Ask]) -> Reservation | Exhausted:
        taken = await super().reserve(asks)
        return taken if isinstance(taken, Exhausted | Counted) else self._counted(taken, asks)

    def _counted(self, taken: Reservation, asks: Sequence[Ask]) -> Counted:
        self.given.append(Counted(taken, asks))
        return self.given[-1]
