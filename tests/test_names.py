from __future__ import annotations

import pytest

from llmrouter.catalogue.names import Expansion, Names
from llmrouter.errors import InvalidRequest
from llmrouter.settings import GroupSettings, Member, RoutingSettings, TaskSettings
from llmrouter.types import ANY_MODEL, Account, Card, Endpoint, Price

FREE, DEAR = Card(price=Price(input=0, output=0)), Card(price=Price(input=5, output=20))


def endpoint(id: str, card: Card = DEAR) -> Endpoint:
    provider, _, model = id.partition("/")
    return Endpoint(
        provider=provider,
        model=model,
        dialects=("openai.chat",),
        accounts=(Account(provider, provider),),
        card=card,
    )


ALL = [
    endpoint("a/small", FREE),
    endpoint("a/large"),
    endpoint("b/org/deep:free"),
    endpoint("c/small"),
    endpoint("d/*"),
]


def names(**routing: object) -> Names:
    groups = {
        "fast": GroupSettings(tiers=((Member("a/small", 3), Member("c/small")), (Member("quick"),))),
        "odd:name": GroupSettings(tiers=((Member("d/anything"),),)),
    }
    aliases = {"quick": "a/large", "alias": "fast", "bare": "small"}
    return Names({one.id: one for one in ALL}, groups, aliases, RoutingSettings(**routing))  # type: ignore[arg-type]


def ids(expansion: Expansion) -> list[list[str]]:
    return [[place.endpoint.id for place in tier] for tier in expansion.tiers]


def test_a_group_is_its_tiers_with_their_weights() -> None:
    expansion = names().expand("fast")
    assert ids(expansion) == [["a/small", "c/small"], ["a/large"]]
    assert [place.weight for place in expansion.tiers[0]] == [3, 1]
    assert (expansion.group, expansion.reason) == ("fast", "default")


def test_an_alias_is_what_it_stands_for() -> None:
    assert ids(names().expand("alias")) == ids(names().expand("fast"))
    assert ids(names().expand("bare")) == [["a/small", "c/small"]]


def test_auto_is_the_default_and_without_one_everything() -> None:
    assert ids(names(default="fast").expand("auto")) == ids(names().expand("fast"))
    assert ids(names().expand("auto")) == [["a/small", "a/large", "b/org/deep:free", "c/small"]]


def test_auto_with_a_task_prefers_what_the_task_prefers() -> None:
    routing = {
        "default": "fast",
        "tasks": {"coding": TaskSettings(prefer=("c", "a"), fallback=("b",), models=("d/x",))},
    }
    expansion = names(**routing).expand("auto/coding")
    assert ids(expansion) == [["d/x"], ["c/small", "a/small", "a/large"], ["b/org/deep:free"]]
    assert expansion.reason == "task"
    assert ids(names(**routing).expand("auto", "coding")) == ids(expansion)
    assert ids(names(**routing).expand("auto/plan")) == ids(names().expand("fast"))


def test_auto_says_how_to_choose() -> None:
    assert names(default="fast").expand("auto/cheapest").order == "cost"
    assert names().expand("auto/fastest").order == "speed"
    assert names().expand("auto/best").reason == "quality"


def test_a_provider_and_model_is_split_at_the_first_slash() -> None:
    assert ids(names().expand("b/org/deep:free")) == [["b/org/deep:free"]]
    assert names().expand("a/large").reason == "asked"


def test_a_model_that_nobody_listed_is_served_where_any_model_is() -> None:
    expansion = names().expand("d/brand/new")
    assert ids(expansion) == [["d/brand/new"]]
    assert names().endpoints[f"d/{ANY_MODEL}"].model == ANY_MODEL
    one = names()
    assert one.expand("d/x") is one.expand("d/x")


def test_names_nobody_listed_do_not_grow_without_end() -> None:
    one = names()
    for number in range(3_000):
        one.expand(f"d/model-{number}")
    assert len(one._found) <= 1024


def test_a_bare_model_is_whoever_serves_it() -> None:
    assert ids(names().expand("small")) == [["a/small", "c/small"]]
    assert ids(names().expand("org/deep:free")) == [["b/org/deep:free"]]


def test_suffixes_are_ours_on_groups_only() -> None:
    assert ids(names().expand("fast:free")) == [["a/small"]]
    assert names().expand("fast:floor").order == "cost"
    assert names(default="fast").expand("auto:nitro").order == "speed"
    assert ids(names().expand("odd:name")) == [["d/anything"]]
    with pytest.raises(InvalidRequest):
        names().expand("a/large:free")


def test_an_unknown_name_is_a_404_with_a_suggestion() -> None:
    with pytest.raises(InvalidRequest, match="Did you mean 'fast'") as error:
        names().expand("fats")
    assert (error.value.status, error.value.code, error.value.param) == (404, "model_not_found", "model")
    with pytest.raises(InvalidRequest, match="GET /v1/models"):
        names().expand("zzzzzzzz")


def test_the_list_has_groups_first_and_no_wildcards() -> None:
    listed = [name for name, _ in names(default="fast").listed()]
    assert listed[:2] == ["fast", "odd:name"]
    assert "auto" in listed
    assert "a/small" in listed
    assert "d/*" not in listed
