"""The contract of a quota store: what its counts do over time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from llmrouter.protocols import QuotaStore
from llmrouter.types import Bucket

from .quota_steps import NOON, PLACES, REQUESTS, TOKENS, gone, granted, refused, spend


class TimeContract:
    """Deltas, windows and places; part of `QuotaStoreContract`."""

    # ---- deltas ---------------------------------------------------------------------------------

    def test_a_refund_can_be_spent_again(self, use: Any) -> None:
        async def body(store: QuotaStore) -> None:
            await spend(store, TOKENS, 100_000)
            await store.settle({TOKENS: -30_000}, {})
            await spend(store, TOKENS, 30_000)
            await refused(store, TOKENS, 1)

        use(body)

    def test_refunds_never_add_to_the_limit(self, use: Any) -> None:
        async def body(store: QuotaStore) -> None:
            await store.settle({TOKENS: -30_000}, {})
            assert await gone(store, TOKENS) == 0
            await refused(store, TOKENS, 100_001)

        use(body)

    def test_an_excess_is_a_debt_of_its_window_alone(self, use: Any) -> None:
        async def body(store: QuotaStore) -> None:
            await granted(store, REQUESTS, 5)
            await store.settle({REQUESTS: 9}, {})
            assert await gone(store, REQUESTS) == 9
            assert await refused(store, REQUESTS, 1) == NOON + 60
            await store.settle({REQUESTS: -2}, {})
            await refused(store, REQUESTS, 1)
            await asyncio.sleep(60)
            await spend(store, REQUESTS, 6)

        use(body)

    # ---- windows --------------------------------------------------------------------------------

    @pytest.mark.parametrize(
        ("name", "ends"),
        [
            ("second", NOON + 1),
            ("30s", NOON + 30),
            ("minute", NOON + 60),
            ("hour", 1_000_004_400.0),
            ("5h", 1_000_008_000.0),
            ("day", 1_000_080_000.0),
            ("day America/Los_Angeles", 1_000_018_800.0),
            ("day 00:00 America/Los_Angeles", 1_000_018_800.0),
            ("week", 1_000_080_000.0),
            ("month", 1_001_894_400.0),
        ],
    )
    def test_a_window_ends_when_it_says_and_begins_anew(self, use: Any, name: str, ends: float) -> None:
        async def body(store: QuotaStore) -> None:
            bucket = Bucket("group:a/model", "requests", 6, name)
            await spend(store, bucket, 6)
            assert await refused(store, bucket, 1) == ends
            await asyncio.sleep(ends - NOON - 0.01)
            await refused(store, bucket, 1)
            await asyncio.sleep(0.01)
            assert await gone(store, bucket) == 0
            await spend(store, bucket, 6)

        use(body)

    def test_a_slice_that_outlives_its_window_counts_in_the_next(self, use: Any) -> None:
        async def body(store: QuotaStore) -> None:
            await asyncio.sleep(59.5)
            await granted(store, REQUESTS, 6)
            await asyncio.sleep(0.7)
            await refused(store, REQUESTS, 1)
            await store.settle({REQUESTS: 4}, {})
            await asyncio.sleep(1)
            assert await gone(store, REQUESTS) == 4

        use(body)

    def test_the_time_to_retry_is_when_it_is_there(self, use: Any) -> None:
        async def body(store: QuotaStore) -> None:
            await spend(store, REQUESTS, 2)
            await granted(store, REQUESTS, 1)
            await asyncio.sleep(0.3)
            await granted(store, REQUESTS, 3)
            now = asyncio.get_running_loop().time
            for amount, ends in ((1, 1.0), (4, 1.3), (5, 60.0), (6, 60.0)):
                assert await refused(store, REQUESTS, amount) == pytest.approx(NOON + ends, rel=0, abs=1e-3)
            for amount in (1, 4, 6):
                await asyncio.sleep(await refused(store, REQUESTS, amount) - now())
                await granted(store, REQUESTS, amount)
                await store.settle({}, {REQUESTS: amount})

        use(body)

    def test_slices_that_outlive_the_window_put_the_time_to_retry_off(self, use: Any) -> None:
        async def body(store: QuotaStore) -> None:
            await asyncio.sleep(59.5)
            await spend(store, REQUESTS, 4)
            await granted(store, REQUESTS, 2)
            assert await refused(store, REQUESTS, 3) == pytest.approx(NOON + 60, rel=0, abs=1e-3)
            assert await refused(store, REQUESTS, 5) == pytest.approx(NOON + 60.5, rel=0, abs=1e-3)

        use(body)

    def test_more_than_the_limit_is_put_off_to_the_end_of_the_window(self, use: Any) -> None:
        async def body(store: QuotaStore) -> None:
            assert await refused(store, REQUESTS, 7) == NOON + 60

        use(body)

    # ---- places ---------------------------------------------------------------------------------

    def test_places_are_taken_until_they_are_given_back(self, use: Any) -> None:
        async def body(store: QuotaStore) -> None:
            await spend(store, PLACES, 3)
            for _ in range(70):  # the store hears from its worker, and a minute ends
                await asyncio.sleep(1)
                await store.settle({}, {})
            assert await gone(store, PLACES) == 3
            retry_at = await refused(store, PLACES, 1)
            assert 0 < retry_at - asyncio.get_running_loop().time() <= 5
            await store.settle({PLACES: -1}, {})
            await spend(store, PLACES, 1)
            await refused(store, PLACES, 1)

        use(body)

    def test_a_place_that_was_granted_and_not_taken_comes_back(self, use: Any) -> None:
        async def body(store: QuotaStore) -> None:
            await granted(store, PLACES, 3)
            await refused(store, PLACES, 1)
            await asyncio.sleep(1)
            await granted(store, PLACES, 3)

        use(body)
