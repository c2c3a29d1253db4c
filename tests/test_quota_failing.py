"""Quota over a store that fails, hangs, is late, or breaks its promises."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence

import pytest

from llmrouter.engine.memory_quota import MemoryQuota
from llmrouter.engine.quota import PATIENCE, REST, Quota
from llmrouter.testing import run
from llmrouter.types import Ask, Bucket, Exhausted, Granted, Sighting
from tests.workers import PLACES, REQUESTS, START, TOKENS, Store, refused, taken, with_quota, working


def test_a_failed_store_lets_requests_through_and_books_them_when_it_is_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def body(quota: Quota, store: Store) -> None:
        assert quota.state == "ok"
        store.fault = ConnectionError("redis://:secret@host is gone")
        for _ in range(200):
            (await taken(quota)).close(None)
        assert quota.state == "no answer: ConnectionError"
        assert len(store.grants) == 1
        store.fault = None
        await asyncio.sleep(REST + 0.5)
        assert quota.state == "ok"
        assert await store.used(REQUESTS) == 200
        await refused(quota)

    caplog.set_level(logging.INFO)
    with_quota(body)
    assert [record.message for record in caplog.records] == [
        "the quota store failed (fail: open): no answer: ConnectionError",
        "the quota store answers again",
    ]


def test_a_failed_store_refuses_requests_where_it_is_to_be_closed() -> None:
    async def body(quota: Quota, store: Store) -> None:
        await taken(quota, Ask(TOKENS, 100))
        store.fault = OSError()
        assert await refused(quota) == Exhausted(REQUESTS, START + REST + 0.2)
        await taken(quota, Ask(TOKENS, 100))
        await asyncio.sleep(1)
        await refused(quota, Ask(TOKENS, 100))
        assert len(store.grants) == 2
        store.fault = None
        await asyncio.sleep(REST)
        assert quota.state == "ok"
        await taken(quota)

    with_quota(body, fail="closed")


def test_a_failed_report_is_made_again() -> None:
    async def body(quota: Quota, store: Store) -> None:
        first = await taken(quota, Ask(TOKENS, 600), Ask(PLACES, 1))
        await asyncio.sleep(0.5)
        store.fault = OSError()
        await taken(quota, Ask(TOKENS, 20))
        first.close({"tokens": 600})
        await asyncio.sleep(0.5)
        assert quota.state == "no answer: OSError"
        store.fault = None
        await asyncio.sleep(REST)
        assert quota.state == "ok"
        assert await store.used(TOKENS) == 620
        assert await store.used(PLACES) == 0

    with_quota(body)


def test_a_report_that_takes_long_is_not_made_twice() -> None:
    async def body(quota: Quota, store: Store) -> None:
        await taken(quota, Ask(TOKENS, 600), Ask(PLACES, 1))
        store.latency = lambda: 12.0
        await asyncio.sleep(1)
        assert quota.state == "no answer: TimeoutError"
        store.latency = lambda: 0.0
        await asyncio.sleep(24 + 2 * REST)
        assert quota.state == "ok"
        assert await store.used(TOKENS) == 600
        assert await store.used(PLACES) == 1

    with_quota(body)


def test_a_failed_report_of_an_ended_window_is_not_made_again() -> None:
    async def body(quota: Quota, store: Store) -> None:
        await taken(quota, Ask(TOKENS, 600), Ask(PLACES, 1))
        store.fault = OSError()
        await asyncio.sleep(2)
        store.fault = None
        await asyncio.sleep(REST)
        assert await store.used(TOKENS) == 0
        assert await store.used(PLACES) == 1

    with_quota(body, at=59)


def test_a_report_that_fails_after_its_window_is_not_made_again() -> None:
    class Late(Store):
        async def settle(self, spent: Mapping[Bucket, float], unspent: Mapping[Bucket, float]) -> None:
            if spent.get(TOKENS) == 600:
                await asyncio.sleep(0.4)
                raise OSError
            await super().settle(spent, unspent)

    async def main() -> None:
        store = Late(MemoryQuota(asyncio.get_running_loop().time))
        async with working(store) as quota:
            await taken(quota, Ask(TOKENS, 600))
            await asyncio.sleep(2 * REST)
            assert (quota.state, await store.used(TOKENS)) == ("ok", 0)

    run(main(), start=START + 59.7)


def test_a_sighting_that_did_not_arrive_is_told_again() -> None:
    class Deaf(Store):
        async def correct(self, sightings: Sequence[Sighting]) -> None:
            await super().correct(sightings)
            if len(self.corrected) == 1:
                raise OSError

    async def main() -> None:
        store = Deaf(MemoryQuota(asyncio.get_running_loop().time))
        async with working(store) as quota:
            await taken(quota)
            quota.sight([Sighting(scope=REQUESTS.scope, unit="requests", window="minute", remaining=30)])
            await asyncio.sleep(2 * REST)
            assert len(store.corrected) == 2

    run(main(), start=START)


def test_a_failed_store_is_told_later_what_providers_said() -> None:
    async def body(quota: Quota, store: Store) -> None:
        await taken(quota)
        store.fault = OSError()
        quota.sight([Sighting(scope=REQUESTS.scope, unit="requests", window="minute", remaining=30)])
        await asyncio.sleep(1)
        store.fault = None
        await asyncio.sleep(REST)
        assert await store.used(REQUESTS) == 130

    with_quota(body)


def test_a_store_that_hangs_is_left_alone() -> None:
    async def body(quota: Quota, store: Store) -> None:
        store.latency = lambda: 1000.0
        now = asyncio.get_running_loop().time
        await asyncio.gather(*(taken(quota) for _ in range(50)))
        assert now() - START == pytest.approx(PATIENCE)
        await taken(quota)
        assert now() - START == pytest.approx(PATIENCE)
        assert quota.state == "no answer: TimeoutError"

    with_quota(body)


def test_leaving_a_store_that_hangs_takes_no_longer_than_its_patience() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        store = Store(MemoryQuota(loop.time))
        async with working(store) as quota:
            await taken(quota)
            store.latency = lambda: 1000.0
        assert loop.time() - START <= PATIENCE

    run(main(), start=START)


@pytest.mark.parametrize("answer", [Granted((0.25,), 1.0), Granted((1.0,), 0.0), Granted((), 1.0)])
def test_a_store_that_breaks_its_promises_counts_as_failed(answer: Granted) -> None:
    class Wrong(Store):
        async def grant(self, asks: Sequence[Ask]) -> Granted | Exhausted:
            return answer

    async def main() -> None:
        async with working(Wrong(MemoryQuota(asyncio.get_running_loop().time)), "closed") as quota:
            await refused(quota, Ask(TOKENS, 100))
            assert quota.state.startswith("no answer: ")

    run(main(), start=START)
