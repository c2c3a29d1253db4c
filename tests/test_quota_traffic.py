"""Quota under traffic: cancelled anywhere, and many workers at once."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import Mapping, Sequence

import pytest
from attrs import define, field

from llmrouter.engine.memory_quota import MemoryQuota
from llmrouter.engine.quota import Quota
from llmrouter.quota import window
from llmrouter.testing import run
from llmrouter.types import Ask, Bucket, Exhausted
from tests.workers import REQUESTS, START, TOKENS, Store, taken, with_quota, working


def test_a_reservation_cancelled_anywhere_loses_nothing_for_longer_than_its_slice() -> None:
    async def body(quota: Quota, store: Store) -> None:
        whole, finished = Ask(TOKENS, 10_000), 0
        store.latency = lambda: 0.01
        for ticks in range(24):
            task = asyncio.create_task(quota.reserve([Ask(REQUESTS, 1), whole]))
            for _ in range(ticks):
                await asyncio.sleep(0.002 if ticks % 2 else 0)
            task.cancel()
            [answer] = await asyncio.gather(task, return_exceptions=True)
            if not isinstance(answer, BaseException | Exhausted):
                answer.close({})
                finished += 1
            await asyncio.sleep(1.5)
            assert await store.used(TOKENS) == 0
            (await taken(quota, whole)).close({})
        assert 0 < finished < 12

    with_quota(body)


@define(eq=False)
class Truth:
    """What was really admitted, by window."""

    bucket: Bucket
    sums: defaultdict[float, float] = field(factory=lambda: defaultdict(float))
    most: float = 0.0

    def add(self, now: float, amount: float) -> None:
        begins, _ = window(self.bucket.window).bounds(now)
        self.sums[begins] += amount
        self.most = max(self.most, self.sums[begins])


@define(eq=False)
class Traffic:
    """Requests that are cut off, end late or cost less than expected."""

    draw: random.Random
    buckets: Sequence[Bucket]
    truths: Mapping[Bucket, Truth]
    served: int = 0
    under_way: int = 0
    most: int = 0

    async def request(self, quota: Quota) -> None:
        now, draw, buckets = asyncio.get_running_loop().time, self.draw, self.buckets
        asks = [Ask(buckets[0], 1), Ask(buckets[1], draw.randint(1, 300)), Ask(buckets[2], draw.random() / 50)]
        taken = await quota.reserve([*asks, Ask(buckets[3], 1)])
        if isinstance(taken, Exhausted):
            return
        since, spent = now(), {ask.bucket.unit: ask.amount * draw.choice([0, 0.3, 1]) for ask in asks}
        for ask in asks:
            self.truths[ask.bucket].add(since, ask.amount)
        self.under_way, self.served = self.under_way + 1, self.served + 1
        self.most = max(self.most, self.under_way)
        try:
            await asyncio.sleep(draw.choice([0, 0.05, 0.3, 1.5, 6]))
        finally:
            self.under_way -= 1
            taken.close(spent)
            for ask in asks:
                if window(ask.bucket.window).bounds(now())[0] <= since:
                    self.truths[ask.bucket].add(since, spent[ask.bucket.unit] - ask.amount)

    async def flow(self, quotas: Sequence[Quota], seconds: float) -> None:
        tasks: list[asyncio.Task[None]] = []
        ends = asyncio.get_running_loop().time() + seconds
        while asyncio.get_running_loop().time() < ends:
            tasks = [task for task in tasks if not task.done()]
            tasks.append(asyncio.create_task(self.request(self.draw.choice(quotas))))
            await asyncio.sleep(self.draw.choice([0, 0.01, 0.02, 0.1, 0.1, 0.4]))
            if self.draw.random() < 0.1:
                self.draw.choice(tasks).cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.parametrize("seed", range(20))
def test_workers_never_admit_more_than_the_limits_say(seed: int) -> None:
    draw = random.Random(seed)
    buckets = [
        Bucket("group:a", "requests", draw.choice([6, 50]), "5s"),
        Bucket("group:a", "tokens", 2_000, draw.choice(["7s", "minute"])),
        Bucket("client:b", "usd", 0.5, "10s"),
        Bucket("client:b", "concurrent", draw.choice([2, 10]), ""),
    ]
    traffic = Traffic(draw, buckets, {bucket: Truth(bucket) for bucket in buckets})

    async def main() -> None:
        loop = asyncio.get_running_loop()
        store = Store(MemoryQuota(loop.time), lambda: draw.choice([0, 0, 0.001, 0.04]))
        async with working(store) as a, working(store) as b, working(store) as c:
            await traffic.flow([a, b, c], 60)
            assert {quota.state for quota in (a, b, c)} == {"ok"}
        assert await store.used(buckets[3]) == pytest.approx(0, abs=1e-6)
        for bucket in buckets[:3]:
            begins, _ = window(bucket.window).bounds(loop.time())
            assert await store.used(bucket) >= traffic.truths[bucket].sums[begins] - 1e-6

    run(main(), start=START)
    assert traffic.served > 30
    assert traffic.most <= buckets[3].limit
    for bucket in buckets[:3]:
        assert traffic.truths[bucket].most <= bucket.limit + 1e-6, "more was admitted than the limit says"
