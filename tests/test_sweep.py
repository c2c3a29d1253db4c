"""A request cancelled after every loop step at which it is alive: nothing leaks, ever."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import pytest

from llmrouter.engine.memory_quota import MemoryQuota
from llmrouter.errors import TransportError
from llmrouter.protocols import Reply
from llmrouter.settings import LimitSettings, ProviderSettings
from llmrouter.testing import run
from llmrouter.types import Ask, Bucket, Call, Exhausted, Granted, Sighting
from tests.house import Answer, House, Socket, Upstream, chunk, error, streamed

LIMITS = (
    LimitSettings(unit="tokens", amount=1e6, window="minute"),
    LimitSettings(unit="requests", amount=9, window="day"),
    LimitSettings(unit="concurrent", amount=3, window=""),
)


class SlowUpstream(Upstream):
    async def send(self, call: Call) -> Reply:
        await asyncio.sleep(0)
        return await super().send(call)


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
    async def write(self, data: bytes) -> None:
        await asyncio.sleep(0)
        await super().write(data)


def house(store: SlowStore) -> House:
    scripts = {
        "a/m": [error(503)],
        "b/m": [Answer([0.0, chunk(), 0.0, TransportError("truncated", "cut")])],
        "c/m": [Answer([0.0, chunk("a"), 0.0, chunk("b"), 0.0, *streamed("c")])],
    }
    providers = {name: ProviderSettings(name=name, plugin="fake", limits=LIMITS) for name in "abc"}
    upstreams = {id: SlowUpstream(answers) for id, answers in scripts.items()}
    return House(upstreams, store=store, providers=providers)


async def once(steps: int, twice: bool) -> bool:
    """Cancel after so many steps. True if the request had ended by itself."""
    store = SlowStore()
    one = house(store)
    settling = asyncio.create_task(one.engine.quota.run())
    task = asyncio.create_task(one.ask(SlowSocket(), stream=True))
    for _ in range(steps):
        await asyncio.sleep(0)
    ended = task.done()
    task.cancel()
    if twice:
        await asyncio.sleep(0)
        task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert len(one.records.all) == (1 if steps else len(one.records.all)), "one record for each request"
    one.assert_nothing_is_left()
    await asyncio.sleep(3)
    assert len(asyncio.all_tasks()) == 2, "a task is left"
    await _assert_books_agree(one, store)
    settling.cancel()
    await asyncio.gather(settling, return_exceptions=True)
    await one.engine.quota.aclose()
    return ended


async def _assert_books_agree(one: House, store: SlowStore) -> None:
    """After the slices' expiry: what the store counts is what the records say was spent."""
    buckets = one.world.limits.all(one.world.endpoints.values())
    used = await store.usage(buckets)
    for bucket in buckets:
        if bucket.unit == "concurrent":
            assert used.get(bucket, 0.0) == 0.0, f"{bucket.scope} still counts a request in flight"
    requests = sum(used.get(bucket, 0.0) for bucket in buckets if bucket.unit == "requests")
    sent = sum(len(upstream.calls) for upstream in one.upstreams.values())
    started = sum(len(record.steps) for record in one.records.all)
    assert sent <= started
    assert requests <= started


@pytest.mark.parametrize("twice", [False, True])
def test_a_request_cancelled_after_every_step_leaves_nothing(twice: bool) -> None:
    alive = next(steps for steps in range(500) if run(once(steps, twice)))
    assert alive > 12
