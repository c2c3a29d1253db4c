"""What a request costs, what it is worth, and what is left out."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from llmrouter_policy_cost import Config, build, llmrouter_register_policies
from llmrouter_policy_cost.policy import COST, HEADROOM, QUALITY, REASONS, SPEED, Cost
from llmrouter_policy_cost.utility import costs, speeds

from llmrouter.testing.context import FakeContext
from llmrouter.testing.policy import FACTS, PolicyContract, candidate
from llmrouter.types import Candidate, Ranked

FREE = candidate("free/flaky", cost=0.0, quality=0.3, headroom=0.1)
CHEAP = candidate("acme/cheap", cost=0.001, quality=0.5)
FAIR = candidate("acme/fair", cost=0.01, quality=0.8)
DEAR = candidate("best/dear", cost=0.1, quality=0.95)
UNKNOWN = candidate("odd/unknown", quality=0.6)
ALL = [UNKNOWN, DEAR, FAIR, CHEAP, FREE]


def policy(**keys: Any) -> Cost:
    return build(Config(**keys), FakeContext("policy"))


def names(plan: Sequence[Ranked]) -> list[str]:
    return [one.candidate.model for one in plan]


def order(candidates: Sequence[Candidate], draw: float = 0.5, **keys: Any) -> list[str]:
    return names(policy(**keys).rank(FACTS, candidates, draw))


class TestContract(PolicyContract):
    descriptor = next(iter(llmrouter_register_policies()))
    configs = (
        {},
        {"mode": "cheapest"},
        {"mode": "quality"},
        {"mode": "quality", "prefer_free_tier": True},
        {"prefer_free_tier": False, "max_cost_per_request": 0.01, "min_quality": 0.2},
        {"fallback_chain": ["a/model-1", "b/model-2", "free/model-0"]},
    )


def test_cheapest_goes_by_cost_and_the_unknown_is_the_dearest() -> None:
    assert order(ALL, mode="cheapest") == ["flaky", "cheap", "fair", "dear", "unknown"]
    assert order(ALL, mode="cheapest", prefer_free_tier=False) == ["flaky", "cheap", "fair", "dear", "unknown"]


def test_among_equal_costs_the_better_is_first() -> None:
    worse, better = candidate("a/worse", cost=0.01, quality=0.4), candidate("b/better", cost=0.01, quality=0.6)
    assert order([worse, better], mode="cheapest") == ["better", "worse"]


def test_quality_goes_by_quality_whatever_is_free() -> None:
    assert order(ALL, mode="quality") == ["dear", "fair", "unknown", "cheap", "flaky"]


def test_quality_within_a_hundredth_is_the_same_and_the_cheaper_is_first() -> None:
    a, b = candidate("x/dear", cost=0.2, quality=0.801), candidate("y/cheap", cost=0.1, quality=0.799)
    assert order([a, b], mode="quality") == ["cheap", "dear"]


def test_balanced_weighs_cost_against_quality_speed_and_headroom() -> None:
    paid = [CHEAP, FAIR, DEAR]
    assert order(paid) == ["cheap", "fair", "dear"]
    much_better = candidate("acme/better", cost=0.0011, quality=1.0)
    assert order([CHEAP, much_better, DEAR])[0] == "better"
    slow = candidate("acme/slow", cost=0.01, quality=0.8, ttft=9.0)
    quick = candidate("acme/quick", cost=0.01, quality=0.8, ttft=0.3)
    assert order([slow, quick]) == ["quick", "slow"]
    empty = candidate("acme/empty", cost=0.01, quality=0.8, headroom=0.05)
    assert order([empty, FAIR]) == ["fair", "empty"]


def test_free_ones_are_first_unless_told_otherwise() -> None:
    good = candidate("acme/good", cost=0.0001, quality=1.0, ttft=0.1)
    bad = candidate("free/bad", cost=0.0, quality=0.0, ttft=60.0, headroom=0.0)
    assert order([good, bad]) == ["bad", "good"]
    assert order([good, bad], prefer_free_tier=False) == ["good", "bad"]
    assert order([good, bad], mode="quality") == ["good", "bad"]
    assert order([good, bad], mode="quality", prefer_free_tier=True) == ["bad", "good"]


def test_a_ceiling_leaves_out_what_is_dearer_and_what_has_no_price() -> None:
    assert order(ALL, mode="cheapest", max_cost_per_request=0.01) == ["flaky", "cheap", "fair"]
    assert order(ALL, mode="cheapest", max_cost_per_request=0.0) == ["flaky"]
    assert order([DEAR, UNKNOWN], max_cost_per_request=0.01) == []


def test_a_floor_leaves_out_what_is_too_weak() -> None:
    assert order(ALL, mode="cheapest", min_quality=0.6) == ["fair", "dear", "unknown"]


def test_last_resorts_come_last_in_their_own_order() -> None:
    chain = ("acme/cheap", "free/flaky")
    assert order(ALL, mode="cheapest", fallback_chain=chain) == ["fair", "dear", "unknown", "cheap", "flaky"]
    assert order(ALL, mode="cheapest", fallback_chain=chain, max_cost_per_request=0.0) == ["flaky"]
    assert order([CHEAP, UNKNOWN], mode="cheapest", fallback_chain=chain) == ["unknown", "cheap"]


def test_equals_share_by_weight() -> None:
    equals = [candidate("a/three", cost=0.01, weight=3.0), candidate("b/one", cost=0.01)]
    first = Counter(order(equals, draw / 2_000)[0] for draw in range(2_000))
    assert first["three"] == pytest.approx(1_500, abs=80)
    better = candidate("d/better", cost=0.01, quality=0.9)
    for draw in range(50):
        assert order(equals, draw / 50) == order(equals[::-1], draw / 50)
        assert order([*equals, better], draw / 50)[1:] == order(equals, draw / 50)
    none = candidate("c/none", cost=0.01, weight=0.0)
    assert all(order([none, *equals], draw / 50)[-1] == "none" for draw in range(50))


def test_equals_share_by_load_and_a_cheaper_one_is_first_whatever_its_load() -> None:
    idle, busy = candidate("a/idle", cost=0.01), candidate("b/busy", cost=0.01, load=9)
    first = Counter(order([busy, idle], draw / 2_000, mode="cheapest")[0] for draw in range(2_000))
    assert first["idle"] == pytest.approx(1_950, abs=20)
    cheaper = candidate("c/cheaper", cost=0.0099, load=1_000, ttft=60.0)
    assert {order([busy, idle, cheaper], draw / 50, mode="cheapest")[0] for draw in range(50)} == {"cheaper"}


def test_the_draw_touches_nothing_but_ties() -> None:
    assert {tuple(order(ALL, draw / 100)) for draw in range(100)} == {tuple(order(ALL))}


@given(st.sampled_from(["cheapest", "balanced", "quality"]), st.booleans(), st.permutations(ALL))
def test_a_score_is_the_sum_of_its_parts_and_the_input_order_means_nothing(
    mode: str, free: bool, candidates: list[Candidate]
) -> None:
    judged = policy(mode=mode, prefer_free_tier=free, fallback_chain=("acme/fair",))
    plan = judged.rank(FACTS, candidates, 0.4)
    assert all(one.score == pytest.approx(sum(one.parts.values())) for one in plan)
    assert plan == judged.rank(FACTS, ALL, 0.4)


def test_the_weights_sum_to_the_width_of_a_band() -> None:
    assert sum((COST, QUALITY, SPEED, HEADROOM)) == pytest.approx(1 / 3)


def test_utilities_keep_free_paid_and_unknown_apart() -> None:
    found = dict(zip([one.endpoint for one in ALL], costs(ALL), strict=True))
    assert found["free/flaky"] == 1.0
    assert found["acme/cheap"] == pytest.approx(0.9)
    assert found["acme/fair"] == pytest.approx(0.5)
    assert found["best/dear"] == pytest.approx(0.1)
    assert found["odd/unknown"] == 0.0
    assert costs([FAIR]) == [pytest.approx(0.9)]
    assert costs([]) == []


def test_costs_may_lie_as_close_or_as_far_apart_as_they_like() -> None:
    near, nearer = candidate("a/near", cost=0.001), candidate("a/nearer", cost=math.nextafter(0.001, 1))
    assert costs([near, nearer]) == [pytest.approx(0.9)] * 2
    tiny, huge = candidate("a/tiny", cost=5e-324), candidate("a/huge", cost=1e4)
    assert costs([tiny, huge]) == [pytest.approx(0.9), pytest.approx(0.1)]


def test_speed_that_is_not_known_stands_in_the_middle() -> None:
    found = speeds([candidate("a/a", ttft=0.1), candidate("a/b", ttft=10.0), candidate("a/c")])
    assert found == [1.0, 0.0, 0.5]


def test_the_reason_of_a_decision_follows_the_mode() -> None:
    assert [policy(mode=mode).reason for mode in REASONS] == ["cost", "preference", "quality"]


@pytest.mark.parametrize(
    "keys",
    [
        {"mode": "cheap"},
        {"max_cost_per_request": -1},
        {"min_quality": 2},
        {"fallback_chain": ["no-slash"]},
        {"fallback_chain": ["a/b", "a/b"]},
        {"prefer_free_tier": "yes"},
    ],
)
def test_wrong_values_are_errors(keys: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        TestContract().make(keys)
