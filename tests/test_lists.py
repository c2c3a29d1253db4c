"""Providers' lists as they are kept, and how they join what the configuration says."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import field, frozen

from llmrouter.catalogue.joining import fitting, join, upstream
from llmrouter.catalogue.lists import REMEMBERED, Listing, due, failed, renewed
from llmrouter.catalogue.names import Names
from llmrouter.catalogue.offers import offers
from llmrouter.errors import InvalidRequest, LLMRouterError
from llmrouter.settings import (
    AccountSettings,
    GroupSettings,
    Member,
    ModelSettings,
    ProviderSettings,
    RoutingSettings,
    Secret,
)
from llmrouter.types import ANY_MODEL, Account, Card, Endpoint, Price

CHEAP, DEAR = Price(input=0.1, output=0.2), Price(input=3, output=15)
EMPTY = Listing(of="x")


def endpoint(model: str, provider: str = "p", **more: Any) -> Endpoint:
    usual = {"dialects": ("openai.chat",), "accounts": (Account("main", "p/main"),), **more}
    return Endpoint(provider=provider, model=model, **usual)


def entry(name: str = "p", **more: Any) -> ProviderSettings:
    accounts = (AccountSettings(id="main"), AccountSettings(id="off", enabled=False))
    return ProviderSettings(name=name, plugin="fake", accounts=accounts, **more)


def listing(*models: Endpoint, before: Listing | None = None, at: float = 100.0) -> Listing:
    return renewed(before or Listing(of=upstream(entry())), models, at)


# --- a list follows another


def test_a_model_is_seen_when_it_is_first_listed() -> None:
    first = listing(endpoint("a"), at=100)
    second = listing(endpoint("a", card=Card(window=5)), endpoint("b"), before=first, at=200)
    assert [(one.model, one.seen, one.card.window) for one in second.models] == [("a", 100, 5), ("b", 200, None)]


def test_a_model_that_is_listed_no_more_is_marked_and_in_the_end_forgotten() -> None:
    first = listing(endpoint("a", card=Card(price=CHEAP)), endpoint("b"), at=100)
    second = listing(endpoint("b"), before=first, at=200)
    third = listing(endpoint("b"), before=second, at=300)
    assert [(one.model, one.gone) for one in third.models] == [("b", None), ("a", 200)]
    assert third.models[1].card.price == CHEAP
    assert [one.model for one in third.current] == ["b"]
    assert [one.model for one in listing(endpoint("b"), before=third, at=200 + REMEMBERED).models] == ["b"]
    back = listing(endpoint("a"), endpoint("b"), before=third, at=400)
    assert [(one.model, one.seen, one.gone) for one in back.models] == [("a", 100, None), ("b", 100, None)]


def test_a_list_that_fell_empty_is_none_to_go_by() -> None:
    with pytest.raises(LLMRouterError, match="lists no model, and listed 1 before"):
        renewed(listing(endpoint("a")), [], 200)
    assert renewed(EMPTY, [], 200).at == 200


def test_a_list_without_end_is_not_kept() -> None:
    with pytest.raises(LLMRouterError, match="lists 20001 models"):
        renewed(EMPTY, (endpoint(f"m{number}") for number in range(20_001)), 200)


@pytest.mark.parametrize("model", ["", ANY_MODEL, "x" * 301, "a\nb", "\x1b[2J"])
def test_what_nobody_could_ask_for_is_left_out(model: str) -> None:
    assert [one.model for one in renewed(EMPTY, [endpoint(model), endpoint("good")], 1).models] == ["good"]


def test_a_failure_leaves_the_list_as_it_was() -> None:
    before = listing(endpoint("a"), at=100)
    after = failed(failed(before, "no", 200), "no again", 300)
    assert (after.models, after.at, after.tried, after.failures) == (before.models, 100, 300, 2)
    assert listing(endpoint("a"), before=after, at=400).failures == 0


def test_a_list_is_due_when_it_is_old_and_after_failures_later_and_later() -> None:
    fresh = listing(endpoint("a"), at=1_000)
    assert due(EMPTY, 600, 1_000)
    assert due(EMPTY, 600, 5), "never is long ago by every clock"
    assert not due(fresh, 600, 1_599)
    assert due(fresh, 600, 1_600)
    assert due(fresh, 600, 999), "the clock was set back"
    waits = []
    for _ in range(6):
        fresh = failed(fresh, "no", 1_000)
        waits.append(next(wait for wait in range(0, 1_000, 30) if due(fresh, 600, 1_000 + wait)))
    assert waits == [60, 120, 240, 480, 600, 600]


# --- what is listed joins what is configured


def test_a_listed_model_is_an_endpoint_of_its_provider() -> None:
    one = endpoint("a/new", card=Card(window=9, price=CHEAP), ops=frozenset({"embed"}), accounts=())
    joined = join({"p/*": endpoint(ANY_MODEL)}, {"p": entry()}, {"p": listing(one)})
    assert list(joined.endpoints) == ["p/*"]
    found = joined.discovered["p/a/new"]
    assert (found.card, found.ops, [account.id for account in found.accounts]) == (one.card, one.ops, ["main"])


def test_the_configuration_wins_and_the_list_fills_what_it_leaves_open() -> None:
    said = entry(models={"a": ModelSettings(price=DEAR)})
    own = endpoint("a", card=Card(price=DEAR, window=1, quality=0.9, max_output=7))
    listed = endpoint("a", card=Card(price=CHEAP, window=9, abilities=frozenset({"tools"})))
    joined = join({"p/a": own}, {"p": said}, {"p": listing(listed)})
    assert joined.endpoints["p/a"].card == Card(
        price=DEAR, window=9, quality=0.9, max_output=7, abilities=frozenset({"tools"})
    )
    assert not joined.discovered


def test_a_list_of_another_upstream_is_of_no_use() -> None:
    lists = {"p": listing(endpoint("a"))}
    assert fitting(lists, {"p": entry(timeout=3, select="random")}) == lists
    for other in (entry(base_url="http://elsewhere/v1"), entry(enabled=False)):
        assert not fitting(lists, {"p": other})
        assert not join({}, {"p": other}, lists).discovered
    assert not fitting(lists, {"q": entry("q")})


@frozen(kw_only=True)
class Extended(ProviderSettings):
    profile: str = ""
    header: Secret | None = field(default=None, repr=False)


def test_an_upstream_is_told_by_the_keys_of_its_plugin_and_by_no_secret() -> None:
    one = Extended(name="p", plugin="x", profile="a")
    assert upstream(one) == upstream(Extended(name="q", plugin="x", profile="a", header=Secret("s")))
    assert upstream(one) != upstream(Extended(name="p", plugin="x", profile="b"))
    assert upstream(one) != upstream(Extended(name="p", plugin="y", profile="a"))


# --- what clients may ask for


def names() -> Names:
    first = listing(endpoint("a/new", card=Card(window=9)), endpoint("old"), endpoint("kept"), at=100)
    second = listing(endpoint("a/new", card=Card(window=9, price=CHEAP)), before=first, at=200)
    own = {"p/kept": endpoint("kept"), "p/*": endpoint(ANY_MODEL), "q/a/new": endpoint("a/new", "q")}
    joined = join(own, {"p": entry(), "q": entry("q")}, {"p": second})
    groups = {"all": GroupSettings(tiers=((Member("q/a/new"), Member("p/a/new")),))}
    return Names(joined.endpoints, groups, {}, RoutingSettings(), joined.discovered, joined.gone)


def ids(asked: str) -> list[str]:
    return [place.endpoint.id for tier in names().expand(asked).tiers for place in tier]


def test_a_listed_model_is_served_by_its_own_names_only() -> None:
    assert ids("p/a/new") == ["p/a/new"]
    assert ids("a/new") == ["q/a/new", "p/a/new"]
    assert ids("auto") == ["p/kept", "q/a/new"], "nobody has chosen it"
    assert names().expand("p/a/new").tiers[0][0].endpoint.card.price == CHEAP


def test_a_model_that_is_gone_is_offered_no_more_and_served_to_who_names_it() -> None:
    listed = [name for name, _ in names().listed()]
    assert listed == ["all", "auto", "auto/plan", "auto/implement", *_ORDERS, "q/a/new", "p/a/new"]
    assert ids("p/old") == ["p/old"]
    assert ids("p/kept") == ["p/kept"]
    with pytest.raises(InvalidRequest, match="does not exist"):
        names().expand("old")


_ORDERS = ["auto/cheapest", "auto/fastest", "auto/best"]


def test_a_slip_in_the_name_of_a_listed_model_is_pointed_out() -> None:
    with pytest.raises(InvalidRequest, match="Did you mean 'a/new'"):
        names().expand("a/neww")


def test_an_offer_says_what_is_known_of_all_its_members() -> None:
    found = {one.id: one for one in offers(names(), {"p": listing(endpoint("a/new"), at=100)})}
    assert list(found)[:2] == ["all", "auto"]
    assert (found["p/a/new"].since, found["p/a/new"].card.window, found["p/a/new"].owner) == (100, 9, "p")
    assert (found["all"].card.window, found["all"].card.price, found["all"].since) == (9, None, None)
