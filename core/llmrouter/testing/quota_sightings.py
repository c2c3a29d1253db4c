"""The contract of a quota store: what it is told by providers, and by several workers."""

from __future__ import annotations

import asyncio
from typing import Any

from llmrouter.protocols import QuotaStore
from llmrouter.types import Sighting

from .quota_steps import DOLLARS, NOON, PLACES, REQUESTS, TOKENS, gone, granted, refused, spend


class TruthContract:
    """Sightings and workers; part of `QuotaStoreContract`."""

    # ---- what providers say ---------------------------------------------------------------------

    def test_a_sighting_sets_what_is_left_and_when_it_is_reset(self, use: Any) -> None:
        async def body(store: QuotaStore) -> None:
            await spend(store, TOKENS, 10)
            seen = Sighting(scope=TOKENS.scope, unit="tokens", window="hour", remaining=500, resets_at=NOON + 20)
            await store.correct([seen])
            assert await gone(store, TOKENS) == 99_500
            assert await refused(store, TOKENS, 501) == NOON + 20
            await spend(store, TOKENS, 500)
            await asyncio.sleep(20)
            assert await gone(store, TOKENS) == 0

        use(body)

    def test_a_sighting_drops_the_slices_of_its_worker(self, use: Any) -> None:
        async def body(store: QuotaStore) -> None:
            await granted(store, REQUESTS, 5)
            await store.correct([Sighting(scope=REQUESTS.scope, unit="requests", window="minute", remaining=4)])
            await granted(store, REQUESTS, 4)
            await refused(store, REQUESTS, 1)

        use(body)

    def test_a_lower_limit_of_the_provider_is_believed_beyond_its_window(self, use: Any) -> None:
        async def body(store: QuotaStore) -> None:
            await spend(store, REQUESTS, 1)
            seen = Sighting(scope=REQUESTS.scope, unit="requests", window="minute", limit=3, remaining=2)
            await store.correct([seen])
            await spend(store, REQUESTS, 2)
            await refused(store, REQUESTS, 1)
            await asyncio.sleep(60)
            await spend(store, REQUESTS, 3)
            await refused(store, REQUESTS, 1)

        use(body)

    def test_a_declared_limit_below_the_providers_still_holds(self, use: Any) -> None:
        async def body(store: QuotaStore) -> None:
            await spend(store, REQUESTS, 1)
            seen = Sighting(scope=REQUESTS.scope, unit="requests", window="minute", limit=100, remaining=98)
            await store.correct([seen])
            assert await gone(store, REQUESTS) == 2
            await spend(store, REQUESTS, 4)
            await refused(store, REQUESTS, 1)

        use(body)

    def test_a_sighting_needs_no_time_zone(self, use: Any) -> None:
        async def body(store: QuotaStore) -> None:
            await spend(store, DOLLARS, 1)
            await store.correct([Sighting(scope=DOLLARS.scope, unit="usd", window="day", remaining=0)])
            await refused(store, DOLLARS, 0.01)

        use(body)

    def test_a_sighting_of_another_bucket_changes_nothing(self, use: Any) -> None:
        async def body(store: QuotaStore) -> None:
            await spend(store, REQUESTS, 1)
            for other in (
                Sighting(scope="group:b/model", unit="requests", window="minute", remaining=0),
                Sighting(scope=REQUESTS.scope, unit="tokens", window="minute", remaining=0),
                Sighting(scope=REQUESTS.scope, unit="requests", window="min", remaining=0),
            ):
                await store.correct([other])
            assert await gone(store, REQUESTS) == 1

        use(body)

    def test_a_reset_is_never_further_than_a_window(self, use: Any) -> None:
        async def body(store: QuotaStore) -> None:
            await spend(store, REQUESTS, 1)
            seen = Sighting(scope=REQUESTS.scope, unit="requests", window="minute", remaining=0, resets_at=NOON * 2)
            await store.correct([seen])
            assert await refused(store, REQUESTS, 1) == NOON + 60

        use(body)

    # ---- several workers ------------------------------------------------------------------------

    def test_workers_share_one_count(self, use: Any) -> None:
        async def body(one: QuotaStore, other: QuotaStore) -> None:
            await spend(one, REQUESTS, 2)
            await granted(other, REQUESTS, 3)
            assert await gone(one, REQUESTS) == await gone(other, REQUESTS) == 5
            await refused(one, REQUESTS, 2)
            await spend(one, REQUESTS, 1)
            await refused(other, REQUESTS, 1)

        use(body, workers=2)

    def test_a_worker_gives_back_only_its_own(self, use: Any) -> None:
        async def body(one: QuotaStore, other: QuotaStore) -> None:
            await granted(one, REQUESTS, 3)
            await granted(other, REQUESTS, 3)
            await one.settle({}, {REQUESTS: 6})
            await granted(one, REQUESTS, 3)
            await refused(one, REQUESTS, 1)

        use(body, workers=2)

    def test_a_sighting_leaves_the_slices_of_other_workers_to_end(self, use: Any) -> None:
        async def body(one: QuotaStore, other: QuotaStore) -> None:
            await granted(other, REQUESTS, 2)
            await one.correct([Sighting(scope=REQUESTS.scope, unit="requests", window="minute", remaining=6)])
            await granted(one, REQUESTS, 4)
            await refused(one, REQUESTS, 1)

        use(body, workers=2)

    def test_a_worker_that_only_asks_keeps_its_places(self, use: Any) -> None:
        async def body(one: QuotaStore, other: QuotaStore) -> None:
            await spend(one, PLACES, 2)
            for _ in range(10):
                await asyncio.sleep(1)
                await granted(one, TOKENS, 1)
            assert await gone(other, PLACES) == 2

        use(body, workers=2)

    def test_the_places_of_a_silent_worker_come_back(self, use: Any) -> None:
        async def body(one: QuotaStore, other: QuotaStore) -> None:
            await spend(one, PLACES, 1)
            await spend(other, PLACES, 2)
            for _ in range(10):
                await asyncio.sleep(1)
                await one.settle({}, {})
            assert await gone(one, PLACES) == 1
            await other.settle({}, {})
            assert await gone(one, PLACES) == 3, "it was only slow, and has them still"

        use(body, workers=2)
