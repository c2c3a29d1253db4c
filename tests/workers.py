"""A worker's quota over a store that can be slow or fail, and the steps of its tests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Literal

from attrs import define, field

from llmrouter.engine.memory_quota import MemoryQuota
from llmrouter.engine.quota import Quota
from llmrouter.protocols import Reservation
from llmrouter.testing import run
from llmrouter.types import Ask, Bucket, Exhausted, Granted, Sighting

START = 1_000_000_800.0
"""Begins a minute."""
REQUESTS = Bucket("group:a/model", "requests", 160, "minute")
TOKENS = Bucket("group:a/model", "tokens", 10_000, "minute")
PLACES = Bucket("client:dev", "concurrent", 2, "")
ONE = [Ask(REQUESTS, 1)]


@define(eq=False)
class Store:
    """A memory store that can be slow, fail or hang, and notes what it was asked."""

    inner: MemoryQuota
    latency: Callable[[], float] = lambda: 0.0
    fault: Exception | None = None
    grants: list[Sequence[Ask]] = field(factory=list)
    settled: list[tuple[dict[Bucket, float], dict[Bucket, float]]] = field(factory=list)
    corrected: list[Sighting] = field(factory=list)
    looked: list[Sequence[Bucket]] = field(factory=list)

    async def grant(self, asks: Sequence[Ask]) -> Granted | Exhausted:
        self.grants.append(asks)
        async with self._travel():
            return await self.inner.grant(asks)

    async def settle(self, spent: Mapping[Bucket, float], unspent: Mapping[Bucket, float]) -> None:
        self.settled.append((dict(spent), dict(unspent)))
        async with self._travel():
            await self.inner.settle(spent, unspent)

    async def correct(self, sightings: Sequence[Sighting]) -> None:
        self.corrected += sightings
        async with self._travel():
            await self.inner.correct(sightings)

    async def usage(self, buckets: Sequence[Bucket]) -> Mapping[Bucket, float]:
        self.looked.append(buckets)
        async with self._travel():
            return await self.inner.usage(buckets)

    async def used(self, bucket: Bucket) -> float:
        return (await self.inner.usage([bucket]))[bucket]

    @asynccontextmanager
    async def _travel(self) -> AsyncIterator[None]:
        if self.fault:
            raise self.fault
        if seconds := self.latency():
            await asyncio.sleep(seconds)
        yield
        if seconds:
            await asyncio.sleep(seconds)


@asynccontextmanager
async def working(store: Any, fail: Literal["open", "closed"] = "open") -> AsyncIterator[Quota]:
    """A worker with its reporting task, as the router runs it."""
    quota = Quota(store, asyncio.get_running_loop().time, fail)
    task = asyncio.create_task(quota.run())
    try:
        yield quota
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await quota.aclose()


def with_quota(
    body: Callable[[Quota, Store], Awaitable[None]], fail: Literal["open", "closed"] = "open", at: float = 0.0
) -> None:
    async def main() -> None:
        store = Store(MemoryQuota(asyncio.get_running_loop().time))
        async with working(store, fail) as quota:
            await body(quota, store)

    run(main(), start=START + at)


async def taken(quota: Quota, *asks: Ask) -> Reservation:
    answer = await quota.reserve(asks or ONE)
    assert not isinstance(answer, Exhausted), answer
    return answer


async def refused(quota: Quota, *asks: Ask) -> Exhausted:
    answer = await quota.reserve(asks or ONE)
    assert isinstance(answer, Exhausted)
    return answer
