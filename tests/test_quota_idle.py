"""Quota while nothing happens: nothing is told, nothing is asked, and nobody wakes."""

from __future__ import annotations

import asyncio

import pytest

from llmrouter.engine.memory_quota import MemoryQuota
from llmrouter.engine.quota import Quota
from llmrouter.testing import run
from llmrouter.types import Ask, Bucket, Exhausted

DAY = Bucket("group:a", "requests", 10.0, "day")
CONCURRENT = Bucket("group:a", "concurrent", 2.0, "")


@pytest.mark.parametrize("bucket", [DAY, CONCURRENT])
def test_an_idle_quota_sleeps_and_wakes_for_the_next_request(bucket: Bucket) -> None:
    looks = 0

    def clock() -> float:
        nonlocal looks
        looks += 1
        return asyncio.get_running_loop().time()

    async def main() -> None:
        nonlocal looks
        store = MemoryQuota(asyncio.get_running_loop().time)
        quota = Quota(store, clock, "open")
        reporting = asyncio.create_task(quota.run())
        for spent in ({"requests": 1.0}, {}):
            taken = await quota.reserve([Ask(bucket, 1.0)])
            assert not isinstance(taken, Exhausted)
            await asyncio.sleep(30)
            assert (await store.usage([bucket]))[bucket] >= 1.0, "what runs is counted"
            taken.close(spent)  # type: ignore[arg-type]
            await asyncio.sleep(5)
            assert (await store.usage([bucket]))[bucket] == (1.0 if bucket is DAY else 0.0)
            looks = 0
            await asyncio.sleep(3_600)
            assert looks < 5
        reporting.cancel()
        await quota.aclose()

    run(main())
