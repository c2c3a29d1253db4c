"""Quota as one worker holds it: slices, reports, and what providers say."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import pytest

from llmrouter.engine.holding import Holdings
from llmrouter.engine.memory_quota import MemoryQuota
from llmrouter.engine.quota import FORGET, Quota
from llmrouter.testing import run
from llmrouter.types import Ask, Bucket, Exhausted, Granted, Sighting, Unit
from tests.workers import PLACES, REQUESTS, START, TOKENS, Store, refused, taken, with_quota, working

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


def test_what_is_short_of_one_limit_takes_nothing_of_the_others() -> None:
    async def body(quota: Quota, store: Store) -> None:
        (await taken(quota, Ask(REQUESTS, 1), Ask(TOKENS, 100))).close({})
        before = quota.headroom([[REQUESTS]]), quota.headroom([[TOKENS]])
        assert quota.take([Ask(REQUESTS, 1), Ask(TOKENS, 100), Ask(PLACES, 1)]) is None
        assert (quota.headroom([[REQUESTS]]), quota.headroom([[TOKENS]])) == before
        for _ in range(10):
            assert quota.take([Ask(REQUESTS, 1)]), "the slice is whole"
        assert len(store.grants) == 1

    with_quota(body)


def test_what_asks_for_nothing_is_let_through_where_there_is_a_debt() -> None:
    async def body(quota: Quota, store: Store) -> None:
        (await taken(quota, Ask(TOKENS, 100))).close({"tokens": 10_000})
        await taken(quota, Ask(REQUESTS, 1), Ask(TOKENS, 0))
        await refused(quota, Ask(TOKENS, 1))

    with_quota(body)


def test_a_debt_is_asked_for_with_what_comes_next() -> None:
    async def body(quota: Quota, store: Store) -> None:
        (await taken(quota, Ask(TOKENS, 100))).close({"tokens": 1_000})  # its slice had 625
        await taken(quota, Ask(TOKENS, 50))
        assert store.grants[1] == [Ask(TOKENS, 425)]
        await asyncio.sleep(0.3)
        assert await store.used(TOKENS) == 1_210, "what was spent, and 160 of the second slice"

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
    bucket, holdings = Bucket("a", "tokens", 100, "hour"), Holdings()
    holding = holdings[bucket]
    assert not holdings.take([Ask(bucket, 1)], START)
    holding.add(10, START + 1)
    assert holdings.take([Ask(bucket, 5)], START)
    holding.add(10, START + 2)
    holding.turn(START + 1)
    assert (holding.free, holding.pending) == (10, 5)
    holding.book(-5, START, START + 1)
    assert (holding.free, holding.pending) == (10, 0)


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


def test_what_was_given_back_and_taken_again_uses_up_no_slice() -> None:
    async def body(quota: Quota, store: Store) -> None:
        reservation = await taken(quota, Ask(TOKENS, 100))  # 525 are left of its slice
        await asyncio.sleep(0.3)
        reservation.close({})
        await taken(quota, Ask(TOKENS, 100))
        await taken(quota, Ask(TOKENS, 525))
        assert len(store.grants) == 1
        await taken(quota, Ask(TOKENS, 1))
        assert len(store.grants) == 2

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
        assert quota.headroom([[]]) == quota.headroom([[REQUESTS, TOKENS]]) == 1.0
        reservation = await taken(quota, Ask(REQUESTS, 16), Ask(TOKENS, 5_000))
        assert quota.headroom([[REQUESTS]]) == 0.9
        assert quota.headroom([[REQUESTS, TOKENS]]) == 0.5
        reservation.close({"requests": 1, "tokens": 2_500})
        assert quota.headroom([[REQUESTS, TOKENS]]) == 0.75

    with_quota(body)


def test_headroom_is_that_of_the_best_account() -> None:
    async def body(quota: Quota, store: Store) -> None:
        await taken(quota, Ask(REQUESTS, 16), Ask(TOKENS, 5_000))
        assert quota.headroom([[TOKENS], [REQUESTS]]) == 0.9
        assert quota.headroom([[TOKENS], []]) == 1.0
        assert quota.headroom([]) == 0.0

    with_quota(body)


def test_headroom_learns_what_other_workers_spend() -> None:
    async def body(quota: Quota, store: Store) -> None:
        await taken(quota, Ask(TOKENS, 1_000))
        await store.inner.settle({TOKENS: 4_000}, {})
        assert quota.headroom([[TOKENS]]) == 0.9
        await asyncio.sleep(2.5)
        assert quota.headroom([[TOKENS]]) == 0.5
        await asyncio.sleep(60)
        assert quota.headroom([[TOKENS]]) == 1.0

    with_quota(body)


def test_headroom_is_never_outside_0_and_1() -> None:
    async def body(quota: Quota, store: Store) -> None:
        (await taken(quota, Ask(TOKENS, 100))).close({"tokens": 50_000})
        assert quota.headroom([[TOKENS]]) == 0.0
        assert quota.headroom([[Bucket("x", "usd", 0, "day")]]) == 0.0
        await refused(quota, Ask(REQUESTS, 161))
        assert quota.headroom([[REQUESTS]]) == 0.0

    with_quota(body)


def test_only_what_somebody_looks_at_is_asked_for() -> None:
    async def body(quota: Quota, store: Store) -> None:
        quota.headroom([[TOKENS]])
        await asyncio.sleep(5)
        assert store.looked == [[TOKENS]]

    with_quota(body)


def test_what_nobody_looks_at_is_forgotten() -> None:
    async def body(quota: Quota, store: Store) -> None:
        quota.headroom([[TOKENS]])
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
        assert quota.headroom([[REQUESTS]]) == 0.0
        assert await refused(quota) == Exhausted(REQUESTS, START + 20)
        assert store.corrected == [seen]
        await asyncio.sleep(20)
        await taken(quota)

    with_quota(body)


def test_a_provider_that_says_what_is_known_costs_no_word_with_the_store() -> None:
    async def body(quota: Quota, store: Store) -> None:
        def said(remaining: float) -> None:
            quota.sight([Sighting(scope=REQUESTS.scope, unit="requests", window="minute", remaining=remaining)])

        await taken(quota)
        for remaining in (50, 50, 49.5, 60):
            said(remaining)
        await asyncio.sleep(0.5)
        assert [one.remaining for one in store.corrected] == [50]
        said(20)  # others use the account, too
        await asyncio.sleep(0.5)
        assert [one.remaining for one in store.corrected] == [50, 20]
        await asyncio.sleep(0.5)
        said(60)  # it has given some back
        await asyncio.sleep(0.5)
        assert [one.remaining for one in store.corrected] == [50, 20, 60]

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
