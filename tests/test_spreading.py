"""How equals share traffic: numbers first, then a router in virtual time."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import mean
from typing import Any

import msgspec
import pytest
from attrs import frozen
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from llmrouter import dialects
from llmrouter.catalogue.names import Expansion, Place
from llmrouter.routing import Look, Ranking, decide, rerank
from llmrouter.routing.spreading import BETTER, LOOK, permutation, spread
from llmrouter.testing import run
from llmrouter.testing.policy import CANDIDATES, DRAWS, FACTS, candidate
from llmrouter.types import Candidate, Decision, Facts, Hold, Ranked
from tests.house import Answer, House, Upstream, endpoint, plain

GOLDEN = 0.6180339887498949
SPOKEN = {dialect.name: dialect for dialect in dialects.builtin()}


def draws(count: int) -> list[float]:
    """As the engine draws them."""
    return [(0.5 + GOLDEN * turn) % 1.0 for turn in range(count)]


def firsts(candidates: Sequence[Candidate], facts: Facts = FACTS, count: int = 1_000) -> Mapping[str, float]:
    """The part of the requests that each is the first choice of."""
    first = Counter(spread(candidates, facts, draw)[0].model for draw in draws(count))
    return {one.model: first[one.model] / count for one in candidates}


def peers(**known: Mapping[str, Any]) -> list[Candidate]:
    return [candidate(f"acme/{name}", **figures) for name, figures in known.items()]


def test_equals_that_are_equally_quick_share_by_weight() -> None:
    quick = peers(a={"ttft": 0.5, "weight": 3.0}, b={"ttft": 0.5}, c={"ttft": 0.5})
    assert firsts(quick) == pytest.approx({"a": 0.6, "b": 0.2, "c": 0.2}, abs=0.005)
    cold = peers(a={"weight": 3.0}, b={}, c={})
    assert firsts(cold) == pytest.approx({"a": 0.6, "b": 0.2, "c": 0.2}, abs=0.005)


def test_a_hair_is_no_difference() -> None:
    near = peers(a={"ttft": 0.50}, b={"ttft": 0.51}, c={"ttft": 0.54})
    assert firsts(near) == pytest.approx({"a": 1 / 3, "b": 1 / 3, "c": 1 / 3}, abs=0.005)


def test_a_slow_one_gets_what_it_takes_to_see_that_it_recovered() -> None:
    slow = peers(a={"ttft": 0.2}, b={"ttft": 0.2}, c={"ttft": 2.0})
    assert firsts(slow)["c"] == pytest.approx(LOOK / 3, abs=0.005)
    last = Counter(spread(slow, FACTS, draw)[-1].model for draw in draws(1_000))
    assert last["c"] >= 950, "nor is it the first to take over"


def test_what_is_under_way_counts_by_weight() -> None:
    """Nine are under way for each unit of weight: nobody is busier than the other."""
    busy = peers(a={"ttft": 0.5, "weight": 3.0, "load": 27}, b={"ttft": 0.5, "weight": 1.0, "load": 9})
    assert firsts(busy) == pytest.approx({"a": 0.75, "b": 0.25}, abs=0.005)
    busier = [busy[0], replace(busy[1], load=12)]
    assert firsts(busier)["b"] == pytest.approx(LOOK / 4, abs=0.005)


def test_who_is_new_counts_as_the_middle_of_the_others() -> None:
    known = {"a": {"ttft": 0.2}, "b": {"ttft": 0.4}, "c": {"ttft": 3.0}}
    for like_new in (firsts(peers(**known, new={})), firsts(peers(**known, new={"ttft": 0.4}))):
        assert like_new["new"] == pytest.approx(firsts(peers(**known, new={"ttft": 0.4}))["b"], abs=0.02)
    waiting = firsts(peers(**known, new={"load": 4}))
    assert waiting["new"] < 0.2, "it has not answered yet: it has enough to do"


def test_one_without_weight_comes_last() -> None:
    none = peers(a={"ttft": 9.0}, b={"ttft": 0.1, "weight": 0.0}, c={"ttft": 9.0, "load": 100})
    assert all(spread(none, FACTS, draw)[-1].model == "b" for draw in draws(200))


def test_a_held_one_is_no_choice() -> None:
    held = Hold(2e9, "breaker", "endpoint:acme/a")
    three = peers(a={"ttft": 0.1, "hold": held}, b={"ttft": 0.5, "weight": 3.0}, c={"ttft": 0.5})
    assert all(spread(three, FACTS, draw)[-1].model == "a" for draw in draws(50))
    assert firsts(three) == pytest.approx({"a": 0, "b": 0.75, "c": 0.25}, abs=0.005)


def test_a_session_has_two_choices_of_its_own() -> None:
    five = peers(**{name: {"ttft": 0.5} for name in "abcde"})
    homes = Counter[str]()
    for number in range(1_000):
        facts = replace(FACTS, session=f"session-{number}")
        [home] = {spread(five, facts, draw)[0].model for draw in draws(5)}
        homes[home] += 1
        away = [replace(one, load=9) if one.model == home else one for one in five]
        [second] = {spread(away, facts, draw)[0].model for draw in draws(50) if draw * 997 % 1.0 >= LOOK}
        rest = [one for one in five if one.model != home]
        assert second == spread(rest, facts, 0.5)[0].model, "who takes over is its second choice"
    assert all(count == pytest.approx(200, abs=45) for count in homes.values())


def test_sessions_live_with_peers_by_weight() -> None:
    two = peers(a={"weight": 3.0}, b={})
    homes = Counter(spread(two, replace(FACTS, session=str(n)), 0.5)[0].model for n in range(2_000))
    assert homes["a"] == pytest.approx(1_500, abs=80)


# ---- of any candidates --------------------------------------------------------------------------

SESSIONS = st.none() | st.text(max_size=5)


@given(CANDIDATES, DRAWS, SESSIONS, st.randoms(use_true_random=False))
def test_each_is_there_once_and_the_order_they_come_in_means_nothing(
    candidates: list[Candidate], draw: float, session: str | None, dice: Any
) -> None:
    facts = replace(FACTS, session=session)
    order = spread(candidates, facts, draw)
    assert sorted(one.endpoint for one in order) == sorted(one.endpoint for one in candidates)
    dice.shuffle(candidates)
    assert spread(candidates, facts, draw) == order


@given(CANDIDATES, DRAWS, SESSIONS)
def test_the_first_is_one_of_the_two_choices_and_never_much_the_slower(
    candidates: list[Candidate], draw: float, session: str | None
) -> None:
    free = [replace(one, hold=None, load=0, weight=1.0) for one in candidates]
    if len(free) < 2 or draw * 997 % 1.0 < LOOK or not all(one.ttft for one in free):
        return
    facts = replace(FACTS, session=session)
    idle = [replace(one, ttft=1.0) for one in free]  # all alike: the choices as they were drawn
    chosen = [one.endpoint for one in spread(idle, facts, draw)[:2]]
    of = {one.endpoint: one.ttft for one in free}
    first = spread(free, facts, draw)[0].endpoint
    assert first in chosen
    assert of[first] * BETTER <= min(of[one] for one in chosen) or first == chosen[0]


@frozen
class Bands:
    """A policy that calls equal what has the same quality, and spreads that alone."""

    def rank(self, facts: Facts, candidates: Sequence[Candidate], draw: float) -> Sequence[Ranked]:
        plan: list[Ranked] = []
        for quality in sorted({one.quality for one in candidates}, reverse=True):
            band = [one for one in candidates if one.quality == quality]
            plan += [Ranked(one, quality) for one in spread(band, facts, draw)]
        return plan


def decided(candidates: Sequence[Candidate], draw: float, session: str | None) -> Decision:
    """A decision about these candidates, in two tiers."""
    known = {one.endpoint: one for one in candidates}

    def look(at: Any) -> Look:
        one = known[at.id]
        return Look(one.ttft, one.load, one.turns, one.headroom, one.hold)

    def places(part: Sequence[Candidate]) -> tuple[Place, ...]:
        return tuple(Place(endpoint(one.endpoint), one.weight) for one in part)

    half = len(candidates) // 2
    return decide(
        replace(FACTS, session=session),
        Expansion(tiers=(places(candidates[:half]), places(candidates[half:])), reason="default"),
        dialects=SPOKEN,
        look=look,
        ranking=Ranking(name="bands", policy=Bands()),
        draw=draw,
        revision="r1",
    )


@given(CANDIDATES, DRAWS, SESSIONS)
def test_a_recorded_decision_ranks_again_to_the_recorded_plan(
    candidates: list[Candidate], draw: float, session: str | None
) -> None:
    decision = decided(candidates, draw, session)
    recorded = msgspec.json.decode(msgspec.json.encode(decision), type=Decision)
    assert rerank(recorded, Bands()) == recorded.plan == decision.plan
    assert sorted(one.candidate.endpoint for one in decision.plan) == sorted(one.endpoint for one in candidates)


@given(CANDIDATES, DRAWS, SESSIONS)
def test_nothing_leaves_its_band(candidates: list[Candidate], draw: float, session: str | None) -> None:
    plan = Bands().rank(replace(FACTS, session=session), candidates, draw)
    assert [one.score for one in plan] == sorted((one.quality for one in candidates), reverse=True)


# ---- a router under load ------------------------------------------------------------------------


@frozen
class Spread:
    def rank(self, facts: Facts, candidates: Sequence[Candidate], draw: float) -> Sequence[Ranked]:
        return [Ranked(one, 1.0) for one in spread(candidates, facts, draw)]


@frozen
class Weighted:
    """The same without a look at the load."""

    def rank(self, facts: Facts, candidates: Sequence[Candidate], draw: float) -> Sequence[Ranked]:
        return [Ranked(one, 1.0) for one in permutation(candidates, draw)]


def upstream(seconds: float) -> Upstream:
    return Upstream([Answer(plain(), wait=seconds)])


async def under_load(house: House, count: int, every: float) -> Mapping[str, float]:
    """Shares of the calls while a request comes every so many seconds."""
    before = {name: len(one.calls) for name, one in house.upstreams.items()}
    asked = []
    for _ in range(count):
        asked.append(asyncio.create_task(house.ask()))
        await asyncio.sleep(every)
    await asyncio.gather(*asked)
    return {name: (len(one.calls) - before[name]) / count for name, one in house.upstreams.items()}


@pytest.mark.parametrize("every", [0.02, 0.11, 3.0])
def test_peers_of_equal_speed_get_equal_shares(every: float) -> None:
    async def story() -> Mapping[str, float]:
        return await under_load(House({f"{name}/m": upstream(0.5) for name in "abc"}, policy=Spread()), 900, every)

    assert run(story()) == pytest.approx({"a": 1 / 3, "b": 1 / 3, "c": 1 / 3}, abs=0.03)


@pytest.mark.parametrize("every", [0.02, 0.11, 3.0])
def test_one_that_is_ten_times_slower_gets_less_than_a_third_of_its_share(every: float) -> None:
    async def story(policy: Any) -> tuple[float, float]:
        speeds = {"a/m": 0.2, "b/m": 0.2, "c/m": 2.0}
        house = House({id: upstream(seconds) for id, seconds in speeds.items()}, policy=policy)
        shares = await under_load(house, 900, every)
        return shares["c"], mean(record.ended - record.facts.at for record in house.records.all)

    share, taken = run(story(Spread()))
    without, slowly = run(story(Weighted()))
    assert share < (1 / 3) / 3
    assert without == pytest.approx(1 / 3, abs=0.03)
    assert taken < slowly / 2


def test_one_that_was_slow_gets_its_share_back() -> None:
    async def story() -> Mapping[str, float]:
        speeds = {"a/m": 0.2, "b/m": 0.2, "c/m": 2.0}
        house = House({id: upstream(seconds) for id, seconds in speeds.items()}, policy=Spread())
        await under_load(house, 300, 0.1)
        house.upstreams["c"].answers = [Answer(plain(), wait=0.2)]
        await under_load(house, 600, 0.1)
        return await under_load(house, 600, 0.1)

    assert run(story())["c"] == pytest.approx(1 / 3, abs=0.05)


def test_a_newcomer_is_not_flooded() -> None:
    async def story() -> tuple[int, Mapping[str, float]]:
        house = House({f"{name}/m": upstream(0.4) for name in "abcd"}, policy=Spread())
        house.engine.health.hold_until("endpoint:d/m", 2e9, "disabled")
        await under_load(house, 300, 0.02)
        house.upstreams["d"].answers = [Answer(plain(), wait=1.2)]  # cold, and slow to start
        house.engine.health.release("endpoint:d/m", "disabled")
        asked = [asyncio.create_task(under_load(house, 60, 0.02))]
        most = 0
        for _ in range(59):
            await asyncio.sleep(0.02)
            most = max(most, house.engine.health.look(house.world.endpoint("d/m")).load)
        return most, await asked[0]

    most, shares = run(story())
    assert most <= 8, "at this pace five are under way at each of the others"
    assert 0 < shares["d"] <= 0.25
