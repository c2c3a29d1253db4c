from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import pytest

from llmrouter import dialects
from llmrouter.catalogue.names import Expansion, Place
from llmrouter.protocols import Dialect, Policy
from llmrouter.routing import ASKED, CONFIGURED, Look, Ranking, decide, rerank
from llmrouter.routing.reasons import CHOSEN, HELD, REJECTED, phrase
from llmrouter.types import Account, Candidate, Card, Decision, Endpoint, Facts, Hold, Price, Ranked, Wire

SPOKEN: Mapping[str, Dialect] = {dialect.name: dialect for dialect in dialects.builtin()}
CHAT = Wire("openai.chat", False)


def endpoint(id: str, card: Card | None = None, dialect: str = "openai.chat") -> Endpoint:
    provider, _, model = id.partition("/")
    return Endpoint(
        provider=provider, model=model, dialects=(dialect,), accounts=(Account("one", "one"),), card=card or Card()
    )


def facts(**changes: object) -> Facts:
    return Facts(**{"wire": CHAT, "asked": "x", "input_tokens": 100, **changes})  # type: ignore[arg-type]


def tiers(*tiers: Sequence[Endpoint], reason: str = "default", order: str = "") -> Expansion:
    placed = tuple(tuple(Place(one) for one in tier) for tier in tiers)
    return Expansion(tiers=placed, reason=reason, order=order)  # type: ignore[arg-type]


def decided(
    facts: Facts,
    expansion: Expansion,
    policy: Policy = CONFIGURED,
    holds: Mapping[str, Hold] | None = None,
    kept: str = "",
) -> Decision:
    return decide(
        facts,
        expansion,
        dialects=SPOKEN,
        look=lambda one: Look(hold=(holds or {}).get(one.id)),
        ranking=Ranking(name="test", policy=policy),
        draw=0.5,
        revision="r1",
        kept=kept,
    )


def planned(decision: Decision) -> list[str]:
    return [one.candidate.endpoint for one in decision.plan]


A, B, C = endpoint("a/m"), endpoint("b/m"), endpoint("c/m")


class Reversed:
    def rank(self, facts: Facts, candidates: Sequence[Candidate], draw: float) -> Sequence[Ranked]:
        return [Ranked(one, 0.5) for one in reversed(candidates)]


class Choosy:
    def rank(self, facts: Facts, candidates: Sequence[Candidate], draw: float) -> Sequence[Ranked]:
        return [Ranked(one, 1.0) for one in candidates if one.provider == "b"]


def test_a_policy_orders_peers_and_never_tiers() -> None:
    assert planned(decided(facts(), tiers([A, B], [C]), Reversed())) == ["b/m", "a/m", "c/m"]


def test_what_a_policy_leaves_out_is_rejected_by_it() -> None:
    decision = decided(facts(), tiers([A, B]), Choosy())
    assert planned(decision) == ["b/m"]
    assert [(one.endpoint, one.reason) for one in decision.rejected] == [("a/m", "policy")]


@pytest.mark.parametrize(
    ("changes", "card", "reason"),
    [
        ({"needs": frozenset({"vision"})}, Card(abilities=frozenset({"tools"})), "ability"),
        ({"input_tokens": 900, "max_output": 200}, Card(window=1_000), "context"),
        ({"hints": {"budget": "0.000001"}}, Card(price=Price(input=5, output=5)), "price"),
        ({"hints": {"budget": "1"}}, Card(), "price"),
    ],
)
def test_what_can_never_serve_is_rejected_with_its_reason(
    changes: Mapping[str, object], card: Card, reason: str
) -> None:
    decision = decided(facts(**changes), tiers([endpoint("x/m", card), A]))
    assert (decision.rejected[0].endpoint, decision.rejected[0].reason) == ("x/m", reason)
    assert decision.rejected[0].detail


def test_what_is_unknown_excludes_nothing() -> None:
    decision = decided(facts(needs=frozenset({"vision"}), input_tokens=10**7), tiers([A]))
    assert planned(decision) == ["a/m"]


def test_an_endpoint_of_another_operation_is_rejected() -> None:
    decision = decided(facts(), tiers([endpoint("e/m", dialect="openai.embeddings"), A]))
    assert planned(decision) == ["a/m"]
    assert decision.rejected[0].reason == "ability"


def test_a_window_is_for_each_of_many_texts() -> None:
    narrow = endpoint("a/m", Card(window=1_000), "openai.embeddings")
    many = facts(op="embed", wire=Wire("openai.embeddings", False), input_tokens=50_000)
    assert planned(decided(many, tiers([narrow]))) == ["a/m"]


def test_token_ids_are_for_models_that_are_not_known_to_want_texts() -> None:
    texts = endpoint("a/m", Card(abilities=frozenset()), "openai.embeddings")
    ids = endpoint("b/m", Card(abilities=frozenset({"token_ids"})), "openai.embeddings")
    given = facts(op="embed", wire=Wire("openai.embeddings", False), needs=frozenset({"token_ids"}))
    decision = decided(given, tiers([texts, ids]))
    assert planned(decision) == ["b/m"]
    assert [(one.endpoint, one.reason, one.detail) for one in decision.rejected] == [
        ("a/m", "ability", "token_ids")
    ]


@pytest.mark.parametrize(("op", "dialect"), [("embed", "openai.embeddings"), ("rerank", "rerank")])
def test_a_fallback_to_another_model_is_none_for_embeddings_and_rankings(op: str, dialect: str) -> None:
    first, other = endpoint("a/m", dialect=dialect), endpoint("b/n", dialect=dialect)
    decision = decided(facts(op=op, wire=Wire(dialect, False)), tiers([first], [other]))
    assert planned(decision) == ["a/m"]


def test_embeddings_of_different_models_never_stand_in_for_each_other() -> None:
    embed = Wire("openai.embeddings", False)
    same, other = endpoint("b/org/m", dialect=embed.dialect), endpoint("c/n", dialect=embed.dialect)
    one = endpoint("a/m", dialect=embed.dialect)
    decision = decided(facts(op="embed", wire=embed), tiers([one, same, other]), Reversed())
    assert planned(decision) == ["b/org/m", "a/m"]
    assert decision.rejected[0].endpoint == "c/n"


def test_what_a_request_costs_is_known_of_each_candidate() -> None:
    paid = endpoint("a/m", Card(price=Price(input=1.0, output=10.0)))
    decision = decided(facts(input_tokens=2_000, max_output=100), tiers([paid, B]))
    assert [one.candidate.cost for one in decision.plan] == [pytest.approx(0.002 + 0.001), None]


def test_embeddings_have_no_output_to_pay_for() -> None:
    paid = endpoint("a/m", Card(price=Price(input=1.0, output=10.0)), "openai.embeddings")
    asked = facts(op="embed", wire=Wire("openai.embeddings", False), input_tokens=2_000)
    assert decided(asked, tiers([paid])).plan[0].candidate.cost == pytest.approx(0.002)


def test_what_is_held_comes_last_and_what_recovers_first_before_it() -> None:
    holds = {"a/m": Hold(200.0, "breaker", "endpoint:a/m"), "b/m": Hold(100.0, "cooling", "group:b")}
    decision = decided(facts(), tiers([A, B], [C]), holds=holds)
    assert planned(decision) == ["c/m", "b/m", "a/m"]
    assert decision.reason == "health"
    assert decided(facts(), tiers([B, C]), holds=holds).reason == "limit"


def test_a_session_stays_where_it_is_unless_that_is_held() -> None:
    decision = decided(facts(), tiers([A, B]), kept="b/m")
    assert (planned(decision), decision.reason) == (["b/m", "a/m"], "session")
    held = {"b/m": Hold(100.0, "breaker", "endpoint:b/m")}
    assert planned(decided(facts(), tiers([A, B]), holds=held, kept="b/m")) == ["a/m", "b/m"]
    assert decided(facts(), tiers([A, B]), kept="a/m").reason == "default"


def test_the_reason_says_why_the_first_is_first() -> None:
    assert decided(facts(), tiers([A])).reason == "only"
    assert decided(facts(), tiers([A], reason="asked")).reason == "asked"
    assert decided(facts(), tiers([A, B], reason="task")).reason == "task"
    assert decided(facts(), tiers([A, B], order="cost"), ASKED["cost"]).reason == "cost"


def test_an_order_asked_for_by_name_sorts_by_its_figure() -> None:
    cheap = endpoint("x/m", Card(price=Price(input=0, output=0), quality=0.1))
    dear = endpoint("y/m", Card(price=Price(input=9, output=9), quality=0.9))
    everything = tiers([A, dear, cheap])
    assert planned(decided(facts(), everything, ASKED["cost"])) == ["x/m", "y/m", "a/m"]
    assert planned(decided(facts(), everything, ASKED["quality"])) == ["y/m", "a/m", "x/m"]


def test_a_decision_is_data_and_ranks_again_to_the_same_plan() -> None:
    holds = {"a/m": Hold(200.0, "breaker", "endpoint:a/m")}
    decision = decided(facts(needs=frozenset({"tools"})), tiers([A, B], [C]), Reversed(), holds)
    again = msgspec.json.decode(msgspec.json.encode(decision), type=Decision)
    assert again == decision
    assert rerank(again, Reversed()) == decision.plan


def test_every_code_has_a_phrase_for_a_header() -> None:
    for code in [*CHOSEN, *HELD, *REJECTED]:
        assert phrase(code).isascii()
        assert phrase(code) != code
