"""Quota as one worker holds it: slices, reports, corrections, and a store that fails."""

from __future__ import annotations

import asyncio
import logging
import random
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Literal

import pytest
from attrs import define, field

from llmrouter.engine.holding import Holding
from llmrouter.engine.memory_quota import MemoryQuota
from llmrouter.engine.quota import FORGET, PATIENCE, REST, Quota
from llmrouter.engine.windows import window
from llmrouter.protocols import Reservation
from llmrouter.testing import run
from llmrouter.types import Ask, Bucket, Exhausted, Granted, Sighting, Unit

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


# --- reserving


def test_without_limits_nothing_is_asked() -> None:
    async def body(quota: Quota, store: Store) -> None:
        (await quota.reserve([])).close({"requests": 1})  # type: ignore[union-attr]
        assert not store.grants

    with_quota(body)


def test_a_slice_is_spent_without_asking_again() -> None:
    async def body(quota: Quota, store: Store) -> None:
        for _ in range(10):
            await taken(quota)
        assert len(store.grants) == 1
        await taken(quota)
        assert len(store.grants) == 2

    with_quota(body)


def test_one_grant_asks_for_what_is_short_and_only_for_that() -> None:
    async def body(quota: Quota, store: Store) -> None:
        await taken(quota, Ask(TOKENS, 100))  # a slice of 625
        await taken(quota, Ask(REQUESTS, 1), Ask(TOKENS, 700), Ask(PLACES, 1))
        assert store.grants[1] == [Ask(REQUESTS, 1), Ask(TOKENS, 175), Ask(PLACES, 1)]
        assert len(store.grants) == 2

    with_quota(body)


def test_a_refusal_takes_nothing() -> None:
    async def body(quota: Quota, store: Store) -> None:
        answer = await refused(quota, Ask(REQUESTS, 1), Ask(TOKENS, 10_001))
        assert answer == Exhausted(TOKENS, START + 60)
        await asyncio.sleep(1.2)
        assert await store.used(REQUESTS) == 0

    with_quota(body)


def test_a_refusal_is_believed_for_a_moment() -> None:
    async def body(quota: Quota, store: Store) -> None:
        first = await refused(quota, Ask(TOKENS, 20_000))
        assert await refused(quota, Ask(TOKENS, 30_000)) == first
        assert len(store.grants) == 1
        await taken(quota, Ask(TOKENS, 10_000))
        await asyncio.sleep(0.3)
        await refused(quota, Ask(TOKENS, 20_000))
        assert len(store.grants) == 3

    with_quota(body)


def test_many_at_once_wait_for_one_grant() -> None:
    async def body(quota: Quota, store: Store) -> None:
        store.latency = lambda: 0.01
        await asyncio.gather(*(taken(quota) for _ in range(10)))
        assert len(store.grants) == 1

    with_quota(body)


def test_workers_admit_as_many_together_as_the_limit_says() -> None:
    six = [Ask(Bucket("group:a", "requests", 6, "minute"), 1)]

    async def main() -> None:
        store = Store(MemoryQuota(asyncio.get_running_loop().time), lambda: 0.01)
        async with working(store) as a, working(store) as b, working(store) as c:
            answers = await asyncio.gather(*(quota.reserve(six) for quota in (a, b, c) * 40))
            assert sum(not isinstance(answer, Exhausted) for answer in answers) == 6
            await asyncio.sleep(2)
            for quota in (a, b, c):
                await refused(quota, *six)

    run(main(), start=START)


# --- closing


def test_what_was_taken_is_spent_in_the_store_before_its_slice_ends() -> None:
    async def body(quota: Quota, store: Store) -> None:
        await taken(quota)
        await asyncio.sleep(0.3)
        assert store.settled == [({REQUESTS: 1}, {})]
        await asyncio.sleep(1)
        assert await store.used(REQUESTS) == 1

    with_quota(body)


def test_a_slice_ends_here_before_it_ends_there() -> None:
    async def body(quota: Quota, store: Store) -> None:
        await taken(quota)
        await asyncio.sleep(0.55)
        await taken(quota)
        assert len(store.grants) == 1
        await asyncio.sleep(0.1)
        await taken(quota)
        assert len(store.grants) == 2

    with_quota(body)


@pytest.mark.parametrize(
    ("spent", "used"),
    [
        (None, (1, 500)),
        ({}, (0, 0)),
        ({"requests": 1.0}, (1, 0)),
        ({"requests": 1.0, "tokens": 200.0, "usd": 3.0}, (1, 200)),
        ({"requests": 1.0, "tokens": 900.0}, (1, 900)),
    ],
)
@pytest.mark.parametrize("seconds", [0.0, 0.5, 5.0])
def test_closing_books_what_was_spent(
    spent: Mapping[Unit, float] | None, used: tuple[float, float], seconds: float
) -> None:
    async def body(quota: Quota, store: Store) -> None:
        reservation = await taken(quota, Ask(REQUESTS, 1), Ask(TOKENS, 500), Ask(PLACES, 1))
        await asyncio.sleep(seconds)
        reservation.close(spent)
        await asyncio.sleep(2)
        assert (await store.used(REQUESTS), await store.used(TOKENS)) == used
        assert await store.used(PLACES) == 0

    with_quota(body)


def test_closing_twice_is_a_mistake() -> None:
    async def body(quota: Quota, store: Store) -> None:
        reservation = await taken(quota)
        reservation.close(None)
        with pytest.raises(AssertionError, match="closed once"):
            reservation.close(None)

    with_quota(body)


def test_what_was_given_back_is_spent_here_before_the_store_knows() -> None:
    async def body(quota: Quota, store: Store) -> None:
        whole = Ask(TOKENS, 10_000)
        reservation = await taken(quota, whole)
        await asyncio.sleep(0.3)
        reservation.close({"tokens": 4_000})
        await taken(quota, Ask(TOKENS, 6_000))
        assert len(store.grants) == 1
        await refused(quota, Ask(TOKENS, 1))
        await asyncio.sleep(1)
        assert await store.used(TOKENS) == 10_000

    with_quota(body)


def test_places_pass_from_one_request_to_the_next() -> None:
    async def body(quota: Quota, store: Store) -> None:
        one, _two = await taken(quota, Ask(PLACES, 1)), await taken(quota, Ask(PLACES, 1))
        for _ in range(20):
            await asyncio.sleep(0.25)
            await refused(quota, Ask(PLACES, 1))
            one.close(None)
            one = await taken(quota, Ask(PLACES, 1))
        assert await store.used(PLACES) == 2

    with_quota(body)


def test_a_refund_of_an_ended_window_is_dropped() -> None:
    async def body(quota: Quota, store: Store) -> None:
        reservation = await taken(quota, Ask(TOKENS, 5_000))
        await asyncio.sleep(10)
        await taken(quota, Ask(TOKENS, 3_000))
        await asyncio.sleep(0.5)
        reservation.close({})
        await asyncio.sleep(2)
        assert await store.used(TOKENS) == 3_000

    with_quota(body, at=55)


def test_an_excess_is_booked_when_it_is_known() -> None:
    async def body(quota: Quota, store: Store) -> None:
        reservation = await taken(quota, Ask(TOKENS, 5_000))
        await asyncio.sleep(10)
        reservation.close({"tokens": 7_000})
        await asyncio.sleep(2)
        assert await store.used(TOKENS) == 2_000

    with_quota(body, at=55)


def test_an_excess_is_paid_from_the_slices_at_hand() -> None:
    async def body(quota: Quota, store: Store) -> None:
        reservation = await taken(quota, Ask(TOKENS, 100))  # 525 are left of its slice
        reservation.close({"tokens": 500})
        await taken(quota, Ask(TOKENS, 125))
        assert len(store.grants) == 1
        await taken(quota, Ask(TOKENS, 1))
        assert len(store.grants) == 2

    with_quota(body)


def test_a_worker_that_leaves_gives_its_slices_back() -> None:
    async def main() -> None:
        store = Store(MemoryQuota(asyncio.get_running_loop().time))
        async with working(store) as quota:
            await taken(quota)
        assert store.settled == [({REQUESTS: 1}, {REQUESTS: 9})]
        assert await store.used(REQUESTS) == 1

    run(main(), start=START)


def test_places_that_are_held_give_signs_of_life() -> None:
    async def body(quota: Quota, store: Store) -> None:
        reservation = await taken(quota, Ask(PLACES, 1))
        await asyncio.sleep(10)
        assert 8 <= sum(said == ({}, {}) for said in store.settled) <= 11
        reservation.close(None)
        await asyncio.sleep(2)
        store.settled.clear()
        await asyncio.sleep(10)
        assert not store.settled, "an idle worker is silent"

    with_quota(body)


# --- what is known


def test_headroom_is_that_of_the_tightest() -> None:
    async def body(quota: Quota, store: Store) -> None:
        assert quota.headroom([]) == quota.headroom([REQUESTS, TOKENS]) == 1.0
        reservation = await taken(quota, Ask(REQUESTS, 16), Ask(TOKENS, 5_000))
        assert quota.headroom([REQUESTS]) == 0.9
        assert quota.headroom([REQUESTS, TOKENS]) == 0.5
        reservation.close({"requests": 1, "tokens": 2_500})
        assert quota.headroom([REQUESTS, TOKENS]) == 0.75

    with_quota(body)


def test_headroom_learns_what_other_workers_spend() -> None:
    async def body(quota: Quota, store: Store) -> None:
        await taken(quota, Ask(TOKENS, 1_000))
        await store.inner.settle({TOKENS: 4_000}, {})
        assert quota.headroom([TOKENS]) == 0.9
        await asyncio.sleep(2.5)
        assert quota.headroom([TOKENS]) == 0.5
        await asyncio.sleep(60)
        assert quota.headroom([TOKENS]) == 1.0

    with_quota(body)


def test_headroom_is_never_outside_0_and_1() -> None:
    async def body(quota: Quota, store: Store) -> None:
        (await taken(quota, Ask(TOKENS, 100))).close({"tokens": 50_000})
        assert quota.headroom([TOKENS]) == 0.0
        assert quota.headroom([Bucket("x", "usd", 0, "day")]) == 0.0
        await refused(quota, Ask(REQUESTS, 161))
        assert quota.headroom([REQUESTS]) == 0.0

    with_quota(body)


def test_only_what_somebody_looks_at_is_asked_for() -> None:
    async def body(quota: Quota, store: Store) -> None:
        quota.headroom([TOKENS])
        await asyncio.sleep(5)
        assert store.looked == [[TOKENS]]

    with_quota(body)


def test_what_nobody_looks_at_is_forgotten() -> None:
    async def body(quota: Quota, store: Store) -> None:
        quota.headroom([TOKENS])
        held = await taken(quota, Ask(PLACES, 1))
        (await taken(quota)).close(None)
        await asyncio.sleep(2 * FORGET)
        assert [*quota._holdings] == [PLACES]
        held.close(None)
        quota.sight([Sighting(scope=TOKENS.scope, unit="tokens", window="minute", remaining=0)])
        await asyncio.sleep(1)
        assert not store.corrected

    with_quota(body)


# --- what providers say


def test_a_sighting_drops_slices_at_once_and_reaches_the_store() -> None:
    async def body(quota: Quota, store: Store) -> None:
        await taken(quota)
        seen = Sighting(scope=REQUESTS.scope, unit="requests", window="minute", remaining=0, resets_at=START + 20)
        quota.sight([seen])
        assert quota.headroom([REQUESTS]) == 0.0
        assert await refused(quota) == Exhausted(REQUESTS, START + 20)
        assert store.corrected == [seen]
        await asyncio.sleep(20)
        await taken(quota)

    with_quota(body)


def test_a_sighting_is_handed_on_also_when_nobody_asks() -> None:
    async def body(quota: Quota, store: Store) -> None:
        (await taken(quota)).close(None)
        quota.sight([Sighting(scope=REQUESTS.scope, unit="requests", window="minute", remaining=40)])
        await asyncio.sleep(0.3)
        assert await store.used(REQUESTS) == 120, "what was spent was told before"
        await taken(quota)
        quota.sight([Sighting(scope=REQUESTS.scope, unit="requests", window="minute", remaining=30)])
        await taken(quota)
        await asyncio.sleep(1.5)
        assert await store.used(REQUESTS) == 131, "also before a grant"

    with_quota(body)


def test_a_refund_of_what_a_provider_has_counted_is_dropped() -> None:
    async def body(quota: Quota, store: Store) -> None:
        reservation = await taken(quota, Ask(TOKENS, 1_000))
        await asyncio.sleep(1)
        quota.sight([Sighting(scope=TOKENS.scope, unit="tokens", window="minute", remaining=5_000)])
        await asyncio.sleep(1)
        reservation.close({"tokens": 100})
        await asyncio.sleep(1)
        assert await store.used(TOKENS) == 5_000

    with_quota(body)


def test_a_sighting_of_what_nobody_declared_means_nothing() -> None:
    async def body(quota: Quota, store: Store) -> None:
        await taken(quota)
        quota.sight([Sighting(scope="group:b", unit="requests", window="minute", remaining=0)])
        quota.sight([Sighting(scope=REQUESTS.scope, unit="requests", window="hour", remaining=0)])
        await taken(quota)
        await asyncio.sleep(1)
        assert not store.corrected
        assert len(store.grants) == 1

    with_quota(body)


# --- a store that fails


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
        store.latency = lambda: 4.0
        await asyncio.sleep(1)
        assert quota.state == "no answer: TimeoutError"
        store.latency = lambda: 0.0
        await asyncio.sleep(2 * REST + 1)
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


def test_a_slice_is_as_old_as_the_question() -> None:
    async def body(quota: Quota, store: Store) -> None:
        store.latency = lambda: 0.2
        await taken(quota)
        store.latency = lambda: 0.0
        await asyncio.sleep(0.25)
        await taken(quota)
        assert len(store.grants) == 2

    with_quota(body)


def test_what_was_taken_of_an_ended_slice_goes_back_to_no_other() -> None:
    holding = Holding(Bucket("a", "tokens", 100, "hour"))
    assert not holding.covers(1, START)
    holding.add(10, START + 1)
    holding.take(5)
    holding.add(10, START + 2)
    assert holding.covers(10, START + 1)
    holding.close(5, 0, START, START + 1)
    assert (holding.free, holding.pending) == (10, 0)


def test_a_refund_of_before_a_reset_that_a_provider_told_is_dropped() -> None:
    async def body(quota: Quota, store: Store) -> None:
        await taken(quota, Ask(TOKENS, 100))
        told = Sighting(scope=TOKENS.scope, unit="tokens", window="minute", remaining=5_000, resets_at=START + 20)
        quota.sight([told])
        await asyncio.sleep(15)
        reservation = await taken(quota, Ask(TOKENS, 1_000))
        await asyncio.sleep(10)
        await taken(quota, Ask(TOKENS, 2_000))
        await asyncio.sleep(1)
        reservation.close({})
        await asyncio.sleep(1)
        assert await store.used(TOKENS) == 2_000

    with_quota(body)


def test_a_slice_that_ends_sooner_takes_the_ones_before_with_it() -> None:
    class Hasty(Store):
        async def grant(self, asks: Sequence[Ask]) -> Granted | Exhausted:
            answer = await super().grant(asks)
            assert isinstance(answer, Granted)
            return Granted(answer.amounts, 1.0 if len(self.grants) == 1 else 0.5)

    async def main() -> None:
        store = Hasty(MemoryQuota(asyncio.get_running_loop().time))
        async with working(store) as quota:
            await taken(quota, Ask(TOKENS, 100))  # 525 are left
            await asyncio.sleep(0.1)
            await taken(quota, Ask(TOKENS, 530))
            await asyncio.sleep(0.3)
            await taken(quota, Ask(TOKENS, 1))
            assert len(store.grants) == 3

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


# --- cancellation, and everything at once


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
