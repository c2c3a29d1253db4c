"""The contract of a quota store."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from llmrouter.protocols import Clock, QuotaStore, QuotaStoreType
from llmrouter.types import Ask, Bucket, Exhausted, Granted

from .clock import run
from .descriptors import check_descriptor
from .quota_machine import prove
from .quota_sightings import TruthContract
from .quota_steps import DOLLARS, NOON, PLACES, REQUESTS, TOKENS, gone, granted, refused, spend
from .quota_windows import TimeContract


class QuotaStoreContract(TimeContract, TruthContract):
    """Subclass it as `TestMyStore` and say how to make one. Every test gets a store of its own.

    `clock` is the loop's time, which the tests move by sleeping. `shared`: stores made over the same folder
    are workers that share their counts, and forget a worker's places when it was silent for ten seconds.
    `persistent`: the counts outlive the last worker.
    """

    shared = False
    persistent = False

    def make(self, folder: Path, clock: Clock) -> QuotaStore | AbstractAsyncContextManager[QuotaStore]:
        """A store, or the async context manager that gives it. `folder` is the test's own, and empty at first."""
        raise NotImplementedError

    def descriptor(self) -> QuotaStoreType | None:
        """What the plugin registers; None for a store that is no plugin."""
        return None

    @pytest.fixture
    def use(self, tmp_path: Path) -> Callable[..., None]:
        """Run a test's body over as many workers as it wants, each with a store that is open meanwhile."""

        async def main(body: Callable[..., Awaitable[None]], workers: int) -> None:
            async with AsyncExitStack() as stack:
                stores = []
                for _ in range(workers):
                    made: Any = self.make(tmp_path, asyncio.get_running_loop().time)
                    stores.append(await stack.enter_async_context(made) if hasattr(made, "__aenter__") else made)
                await body(*stores)

        def use(body: Callable[..., Awaitable[None]], workers: int = 1) -> None:
            if workers > 1 and not self.shared:
                pytest.skip("this store has one worker")
            run(main(body, workers), start=NOON)

        return use

    # ---- granting -------------------------------------------------------------------------------

    def test_a_limit_admits_as_much_as_it_says(self, use: Any) -> None:
        async def body(store: QuotaStore) -> None:
            for _ in range(6):
                await spend(store, REQUESTS, 1)
            await refused(store, REQUESTS, 1)
            assert await gone(store, REQUESTS) == 6

        use(body)

    def test_a_limit_of_6_admits_6_of_120_at_once(self, use: Any) -> None:
        async def body(store: QuotaStore) -> None:
            answers = await asyncio.gather(*(store.grant([Ask(REQUESTS, 1)]) for _ in range(120)))
            assert sum(isinstance(answer, Granted) for answer in answers) == 6

        use(body)

    def test_a_slice_is_part_of_what_is_left_and_lives_a_second_at_most(self, use: Any) -> None:
        async def body(store: QuotaStore) -> None:
            answer = await store.grant([Ask(TOKENS, 10)])
            assert isinstance(answer, Granted)
            assert 10 < answer.amounts[0] <= 50_000, "more than the ask, and something for the others"
            assert 0 < answer.ttl <= 1

        use(body)

    def test_slices_shrink_to_the_ask_and_add_up_to_the_limit(self, use: Any) -> None:
        async def body(store: QuotaStore) -> None:
            total, slices = 0.0, []
            while total < TOKENS.limit:
                slices.append(await granted(store, TOKENS, min(1_000, TOKENS.limit - total)))
                total += slices[-1]
            assert total == TOKENS.limit
            assert slices == sorted(slices, reverse=True)
            assert slices[-2] == 1_000

        use(body)

    def test_dollars_are_split_below_one(self, use: Any) -> None:
        async def body(store: QuotaStore) -> None:
            assert 0.01 < await granted(store, DOLLARS, 0.001) < 1

        use(body)

    def test_fractions_of_a_dollar_add_up(self, use: Any) -> None:
        async def body(store: QuotaStore) -> None:
            tenth = Bucket("client:dev", "usd", 0.3, "day")
            for _ in range(3):
                await spend(store, tenth, 0.1)
            await refused(store, tenth, 0.001)

        use(body)

    def test_nothing_can_be_had_also_where_nothing_is_left(self, use: Any) -> None:
        async def body(store: QuotaStore) -> None:
            await store.settle({REQUESTS: 9}, {})
            assert await granted(store, REQUESTS, 0) == 0

        use(body)

    def test_many_buckets_are_granted_together(self, use: Any) -> None:
        async def body(store: QuotaStore) -> None:
            answer = await store.grant([Ask(REQUESTS, 1), Ask(TOKENS, 500), Ask(DOLLARS, 0.02), Ask(PLACES, 1)])
            assert isinstance(answer, Granted)
            assert all(got >= want for got, want in zip(answer.amounts, (1, 500, 0.02, 1), strict=True))

        use(body)

    def test_many_buckets_are_refused_together(self, use: Any) -> None:
        async def body(store: QuotaStore) -> None:
            await spend(store, DOLLARS, 5)
            answer = await store.grant([Ask(REQUESTS, 1), Ask(DOLLARS, 0.02), Ask(TOKENS, 500)])
            assert isinstance(answer, Exhausted)
            assert answer.bucket == DOLLARS
            assert await store.usage([REQUESTS, TOKENS, DOLLARS]) == {REQUESTS: 0, TOKENS: 0, DOLLARS: 5}

        use(body)

    def test_of_several_refusals_the_last_to_end_is_told(self, use: Any) -> None:
        async def body(store: QuotaStore) -> None:
            await spend(store, REQUESTS, 6)
            await spend(store, TOKENS, 100_000)
            answer = await store.grant([Ask(REQUESTS, 1), Ask(TOKENS, 1)])
            assert answer == Exhausted(TOKENS, (NOON // 3600 + 1) * 3600)

        use(body)

    def test_a_bucket_that_is_asked_twice_counts_twice(self, use: Any) -> None:
        async def body(store: QuotaStore) -> None:
            assert isinstance(await store.grant([Ask(REQUESTS, 4), Ask(REQUESTS, 4)]), Exhausted)
            assert await gone(store, REQUESTS) == 0
            assert isinstance(await store.grant([Ask(REQUESTS, 3), Ask(REQUESTS, 3)]), Granted)
            await refused(store, REQUESTS, 1)

        use(body)

    def test_buckets_differ_by_scope_unit_and_window(self, use: Any) -> None:
        async def body(store: QuotaStore) -> None:
            others = [
                Bucket("group:b/model", "requests", 6, "minute"),
                Bucket("group:a/model", "tokens", 6, "minute"),
                Bucket("group:a/model", "requests", 6, "hour"),
            ]
            await spend(store, REQUESTS, 6)
            for other in others:
                await spend(store, other, 6)

        use(body)

    def test_a_changed_limit_does_not_begin_a_new_count(self, use: Any) -> None:
        async def body(store: QuotaStore) -> None:
            await spend(store, REQUESTS, 6)
            higher = Bucket(REQUESTS.scope, "requests", 8, "minute")
            await spend(store, higher, 2)
            await refused(store, higher, 1)
            await refused(store, REQUESTS, 1)

        use(body)

    # ---- leases ---------------------------------------------------------------------------------

    def test_what_was_granted_and_lost_comes_back(self, use: Any) -> None:
        async def body(store: QuotaStore) -> None:
            for _ in range(6):
                await granted(store, REQUESTS, 1)
            await refused(store, REQUESTS, 1)
            await asyncio.sleep(1)
            assert await gone(store, REQUESTS) == 0
            await spend(store, REQUESTS, 6)

        use(body)

    def test_what_was_spent_does_not_come_back(self, use: Any) -> None:
        async def body(store: QuotaStore) -> None:
            await granted(store, REQUESTS, 6)
            await store.settle({REQUESTS: 4}, {})
            await asyncio.sleep(1)
            assert await gone(store, REQUESTS) == 4
            await spend(store, REQUESTS, 2)
            await refused(store, REQUESTS, 1)

        use(body)

    def test_what_is_given_back_is_there_at_once(self, use: Any) -> None:
        async def body(store: QuotaStore) -> None:
            await granted(store, REQUESTS, 6)
            await store.settle({}, {REQUESTS: 2})
            assert await gone(store, REQUESTS) == 4
            await granted(store, REQUESTS, 2)
            await refused(store, REQUESTS, 1)

        use(body)

    def test_spending_uses_up_the_lease_that_ends_first(self, use: Any) -> None:
        async def body(store: QuotaStore) -> None:
            await granted(store, REQUESTS, 2)
            await asyncio.sleep(0.5)
            await granted(store, REQUESTS, 4)
            await store.settle({REQUESTS: 1}, {})
            await asyncio.sleep(0.5)
            assert await gone(store, REQUESTS) == 5, "the rest of the first has ended, the second has not"

        use(body)

    def test_a_cancelled_grant_comes_back(self, use: Any) -> None:
        async def body(store: QuotaStore) -> None:
            for ticks in range(4):
                task = asyncio.ensure_future(store.grant([Ask(REQUESTS, 6)]))
                for _ in range(ticks):
                    await asyncio.sleep(0)
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                await store.usage([REQUESTS])
                await asyncio.sleep(1)
                await granted(store, REQUESTS, 6)
                await store.settle({}, {REQUESTS: 6})

        use(body)

    # ---- everything at once ---------------------------------------------------------------------

    def test_no_history_lends_more_than_there_is(self, tmp_path: Path) -> None:
        """A Hypothesis state machine over the whole protocol, in virtual time, beside a model."""
        prove(lambda number, clock: self.make(tmp_path / str(number), clock), workers=3 if self.shared else 1)

    def test_counts_outlive_the_last_worker(self, tmp_path: Path) -> None:
        async def visit() -> float:
            made: Any = self.make(tmp_path, asyncio.get_running_loop().time)
            async with made as store:
                before = await gone(store, DOLLARS)
                await spend(store, DOLLARS, 1)
                await granted(store, DOLLARS, 1)
                await spend(store, PLACES, 1)
                return before

        if not self.persistent:
            pytest.skip("this store keeps nothing")
        assert [run(visit(), start=NOON) for _ in range(3)] == [0, 1, 2]

    def test_its_descriptor_is_sane(self) -> None:
        descriptor = self.descriptor()
        if descriptor is None:
            pytest.skip("not a plugin")
        assert isinstance(descriptor, QuotaStoreType)
        check_descriptor(descriptor)
