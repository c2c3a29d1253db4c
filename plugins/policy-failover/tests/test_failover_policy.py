"""Shares of traffic, turns, order, and free ones first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import msgspec
import pytest
from llmrouter_policy_failover import Config, build, llmrouter_register_policies
from llmrouter_policy_failover.policy import Failover

from llmrouter.routing.spreading import permutation
from llmrouter.testing.context import FakeContext
from llmrouter.testing.policy import FACTS, PolicyContract, candidate
from llmrouter.types import Candidate, Hold

GOLDEN = 0.6180339887498949
HELD = Hold(2e9, "breaker", "endpoint")


def draws(count: int) -> Iterator[float]:
    """Evenly spread numbers, as the core draws them."""
    return ((0.5 + GOLDEN * turn) % 1.0 for turn in range(count))


def peers(**weights: float) -> list[Candidate]:
    return [candidate(f"acme/{name}", weight=weight, cost=0.01) for name, weight in weights.items()]


def names(policy: Failover, candidates: Sequence[Candidate], draw: float = 0.5) -> str:
    return "".join(one.candidate.model for one in policy.rank(FACTS, candidates, draw))


class TestContract(PolicyContract):
    descriptor = next(iter(llmrouter_register_policies()))
    configs = (
        {},
        {"peers": "weighted", "free_first": False},
        {"peers": "least_loaded"},
        {"peers": "least_loaded", "free_first": False},
        {"peers": "round_robin"},
        {"peers": "round_robin", "free_first": False},
        {"peers": "order"},
        {"peers": "order", "free_first": False},
    )


def test_a_thousand_draws_share_by_weight_to_the_request() -> None:
    candidates = peers(a=3, b=1, c=1)
    first = Counter(names(Failover(), candidates, draw)[0] for draw in draws(1_000))
    assert first["a"] == pytest.approx(600, abs=3)
    assert first["b"] == pytest.approx(200, abs=3)
    assert first["c"] == pytest.approx(200, abs=3)


@pytest.mark.parametrize(
    ("away", "shares"),
    [("a", {"b": 500, "c": 500}), ("b", {"a": 750, "c": 250}), ("c", {"a": 750, "b": 250})],
)
def test_the_share_of_a_held_peer_goes_to_the_others_by_weight(away: str, shares: dict[str, int]) -> None:
    candidates = [
        msgspec.structs.replace(one, hold=HELD if one.model == away else None) for one in peers(a=3, b=1, c=1)
    ]
    orders = [names(Failover(), candidates, draw) for draw in draws(1_000)]
    first = Counter(order.replace(away, "")[0] for order in orders)
    for name, share in shares.items():
        assert first[name] == pytest.approx(share, abs=30)
    assert all(len(order) == 3 for order in orders), "a held peer keeps its place: the core moves it"


def test_a_hold_changes_no_order() -> None:
    candidates = peers(a=3, b=1, c=1)
    held = [msgspec.structs.replace(one, hold=HELD) for one in candidates[:1]] + candidates[1:]
    for draw in draws(50):
        assert names(Failover(), candidates, draw) == names(Failover(), held, draw)


def test_without_a_peer_the_others_keep_their_proportion() -> None:
    first = Counter(names(Failover(), peers(a=3, c=1), draw)[0] for draw in draws(1_000))
    assert first["a"] == pytest.approx(750, abs=3)


def test_every_order_of_equal_peers_is_equally_frequent() -> None:
    orders = Counter(names(Failover(), peers(a=1, b=1, c=1), draw) for draw in draws(6_000))
    assert len(orders) == 6
    assert all(count == pytest.approx(1_000, abs=20) for count in orders.values())


@pytest.mark.parametrize("mode", ["weighted", "least_loaded", "round_robin"])
def test_a_peer_of_no_weight_comes_last(mode: str) -> None:
    policy = build(Config(peers=mode), FakeContext("policy"))  # type: ignore[arg-type]
    for draw in draws(100):
        assert names(policy, peers(a=0, b=1, c=2), draw)[-1] == "a"


def test_without_any_weight_nobody_is_lost() -> None:
    assert names(Failover(), peers(b=0, a=0), 0.7) == "ab"
    assert names(Failover("round_robin"), peers(b=0, a=0)) == "ba"


def test_a_long_tier_is_shared_out_to_its_far_end() -> None:
    """When the first three hundred of four hundred are held, those behind still share alike."""
    candidates = [candidate(f"acme/{number:03}") for number in range(400)]
    served: Counter[str] = Counter()
    for draw in draws(4_000):
        order = permutation(candidates, draw)
        assert len(order) == 400
        served[next(one.model for one in order if one.model >= "300")] += 1
    assert len(served) == 100
    assert max(served.values()) < 80
    assert min(served.values()) > 15


def test_turns_go_round_by_weight() -> None:
    turns = Counter({"a": 0, "b": 0, "c": 0})
    weights = {"a": 2.0, "b": 1.0, "c": 1.0}
    served = ""
    for _ in range(400):
        candidates = [candidate(f"acme/{name}", weight=weights[name], turns=turns[name]) for name in "abc"]
        first = names(Failover("round_robin"), candidates)[0]
        turns[first] += 1
        served += first
    assert turns == {"a": 200, "b": 100, "c": 100}
    assert Counter(served[:40]) == {"a": 20, "b": 10, "c": 10}


def test_the_least_loaded_go_by_time_and_what_is_under_way() -> None:
    quick, slow, busy = (
        candidate("acme/q", ttft=0.2),
        candidate("acme/s", ttft=2.0),
        candidate("acme/b", ttft=0.2, load=9),
    )
    for other in (slow, busy):
        first = Counter(names(Failover("least_loaded"), [other, quick], draw)[0] for draw in draws(1_000))
        assert first["q"] == pytest.approx(975, abs=10), (
            "all but what is needed to see that the other is well again"
        )
    alike = [candidate("acme/a", ttft=0.2, weight=3.0, load=3), candidate("acme/b", ttft=0.2, load=1)]
    first = Counter(names(Failover("least_loaded"), alike, draw)[0] for draw in draws(1_000))
    assert first["a"] == pytest.approx(750, abs=5)


def test_order_is_the_configurations() -> None:
    assert names(Failover("order"), peers(c=1, a=5, b=2), 0.9) == "cab"


@pytest.mark.parametrize("mode", ["weighted", "least_loaded", "round_robin", "order"])
def test_free_peers_come_first_and_share_among_themselves(mode: str) -> None:
    candidates = [
        candidate("acme/p", cost=0.01, weight=100.0),
        candidate("acme/u", cost=None, weight=100.0),
        candidate("acme/f", cost=0.0),
        candidate("acme/g", cost=0.0),
    ]
    policy = build(Config(peers=mode), FakeContext("policy"))  # type: ignore[arg-type]
    for draw in draws(50):
        assert set(names(policy, candidates, draw)[:2]) == {"f", "g"}
    blind = build(Config(peers=mode, free_first=False), FakeContext("policy"))  # type: ignore[arg-type]
    assert {names(blind, candidates, draw)[0] for draw in draws(50)} & {"p", "u"}


def test_parts_say_what_the_place_follows_from() -> None:
    weighted = Failover().rank(FACTS, peers(a=3, b=1), 0.0)
    assert weighted[0].parts == {"free": 0.0, "share": 0.75}
    turning = Failover("round_robin", False).rank(FACTS, [candidate("acme/a", turns=7)], 0.0)
    assert turning[0].parts == {"share": 1.0, "turns": 7.0}
    loaded = Failover("least_loaded", False).rank(FACTS, [candidate("acme/a", ttft=0.5, load=2)], 0.0)
    assert loaded[0].parts == {"share": 1.0, "ttft": 0.5, "load": 2.0}
    assert [one.score for one in weighted] == [1.0, 0.5]


def test_the_reason_of_a_decision_follows_the_mode() -> None:
    assert Failover().reason == Failover("least_loaded").reason == Failover("round_robin").reason == "balance"
    assert Failover("order").reason == "default"
