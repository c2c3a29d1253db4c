"""What is read of a model in a list, whatever words a provider has for it."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve
from llmrouter_provider_openai.listing import listed

from llmrouter.types import Card, Price, Tier

FAMILY = frozenset({"tools", "vision", "json_schema"})


def card(said: dict[str, Any], known: Card = Card(), family: frozenset[str] | None = FAMILY) -> Card:  # noqa: B008
    return listed(said, known, family)


@pytest.mark.parametrize("name", ["context_window", "max_model_len", "max_context_length", "context_length"])
def test_a_window_is_read(name: str) -> None:
    assert card({name: 9}).window == 9


@pytest.mark.parametrize("name", ["max_output", "max_completion_tokens", "max_output_tokens", "max_output_length"])
def test_the_longest_answer_is_read(name: str) -> None:
    assert card({name: 9}).max_output == 9


@pytest.mark.parametrize("value", ["9", 9.5, None, 0, -1, True, [9]])
def test_what_is_no_number_of_tokens_is_not_known(value: Any) -> None:
    assert card({"context_window": value, "max_output": value}) == Card()


@pytest.mark.parametrize(
    ("said", "price"),
    [
        (
            {"price": {"input": 1, "output": 5, "cache_read": 0.1, "request": 0.0}},
            Price(input=1, output=5, cache_read=0.1),
        ),
        ({"pricing": {"prompt": "0.000001", "completion": "0.000005"}}, Price(input=1, output=5)),
        (
            {"pricing": {"prompt": "0", "completion": "0", "request": "0.01", "image": "1"}},
            Price(input=0, output=0, request=0.01),
        ),
        ({"pricing": {"prompt": "-1", "completion": "-1"}}, None),
        ({"pricing": {"prompt": "0.000001"}}, None),
        ({"pricing": {"prompt": "cheap", "completion": "cheap"}}, None),
        ({"pricing": {"hourly": 3}}, None),
        ({"pricing": "free"}, None),
        (
            {"price": {"input": 1, "output": 5, "tiers": [{"prompt": 200_000, "input": 2, "output": 8}]}},
            Price(input=1, output=5, tiers=(Tier(prompt=200_000, input=2, output=8),)),
        ),
        ({"price": 3}, None),
        ({"price": {"input": "cheap", "output": 5}}, None),
        ({"price": {"input": 1, "output": 5, "per": "token"}}, None),
    ],
)
def test_a_price_is_read_where_it_is_one(said: dict[str, Any], price: Price | None) -> None:
    found = card(said).price
    assert (found is None) is (price is None)
    if found and price:
        assert (found.input, found.output) == pytest.approx((price.input, price.output))
        assert evolve(found, input=price.input, output=price.output) == price


def test_abilities_that_a_list_denies_are_taken_away_and_the_others_stay() -> None:
    said = {"capabilities": {"function_calling": True, "vision": False, "audio": True, "ocr": True}}
    assert card(said).abilities == {"tools", "json_schema", "audio"}
    assert card(said, family=None).abilities is None, "of the others nothing is known"
    assert card({"capabilities": ["chat"]}).abilities is None


def test_another_llmrouter_says_abilities_in_our_own_words() -> None:
    assert card({"abilities": ["tools"]}, family=None).abilities == {"tools"}
    assert card({"abilities": []}).abilities == frozenset()


def test_what_the_profile_knows_stays() -> None:
    known = Card(
        window=1, max_output=2, price=Price(input=3, output=4), abilities=frozenset({"vision"}), quality=0.9
    )
    said = {"context_window": 9, "max_output": 9, "price": {"input": 9, "output": 9}, "abilities": ["tools"]}
    assert card(said, known) == known
