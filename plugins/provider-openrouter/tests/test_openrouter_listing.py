from __future__ import annotations

from typing import Any

import pytest
from llmrouter_provider_openrouter.listing import read_card

from llmrouter.types import Card, Price, Tier

MODEL: dict[str, Any] = {
    "id": "acme/large",
    "context_length": 262144,
    "architecture": {"input_modalities": ["text", "image", "audio", "video"], "output_modalities": ["text"]},
    "pricing": {
        "prompt": "0.000003",
        "completion": "0.000015",
        "request": "0.01",
        "web_search": "0.014",
        "input_cache_read": "0.0000003",
        "input_cache_write": "0.00000375",
        "input_cache_write_1h": "0.000006",
        "overrides": [{"min_prompt_tokens": 200000, "prompt": "0.000006", "completion": "0.0000225"}],
    },
    "top_provider": {"context_length": 200000, "max_completion_tokens": 64000},
    "supported_parameters": ["tools", "structured_outputs", "response_format", "logprobs", "temperature"],
}


def test_a_card_is_read_from_what_is_listed() -> None:
    card = read_card(MODEL)
    assert (card.window, card.max_output) == (262144, 64000)
    assert card.abilities == {"tools", "json_schema", "json_object", "logprobs", "vision", "audio", "files"}


def test_prices_are_of_a_million_tokens_and_longer_prompts_keep_what_they_do_not_change() -> None:
    price = read_card(MODEL).price
    assert price
    assert _rounded(price) == (3.0, 15.0, 0.3, 3.75, 6.0)
    assert (price.request, price.web_search) == (0.01, 0.014)
    (tier,) = price.tiers
    assert tier.prompt == 200000
    assert _rounded(tier) == (6.0, 22.5, 0.3, 3.75, 6.0)


def _rounded(rates: Price | Tier) -> tuple[Any, ...]:
    found = (rates.input, rates.output, rates.cache_read, rates.cache_write, rates.cache_write_1h)
    return tuple(None if one is None else round(one, 9) for one in found)


@pytest.mark.parametrize(
    "pricing",
    [
        None,
        {},
        {"prompt": "-1", "completion": "-1"},  # a router of theirs: what it routes to has the price
        {"prompt": "0.1"},
        {"prompt": "much", "completion": "0"},
        {"prompt": "inf", "completion": "0"},
        {"prompt": "nan", "completion": "0"},
    ],
)
def test_what_is_no_price_is_unknown(pricing: Any) -> None:
    assert read_card(MODEL | {"pricing": pricing}).price is None


def test_zero_is_a_price_and_a_free_model_has_it_whatever_is_listed() -> None:
    assert read_card(MODEL | {"pricing": {"prompt": "0", "completion": "0"}}).price == Price(input=0.0, output=0.0)
    assert read_card({"id": "acme/small:free"}).price == Price(input=0.0, output=0.0)


@pytest.mark.parametrize("said", [None, 5, "x", [1]])
def test_what_is_not_as_it_should_be_is_unknown(said: Any) -> None:
    names = ("architecture", "pricing", "top_provider", "context_length")
    broken = dict.fromkeys(names, "x" if said == 5 else said)
    assert read_card({"id": "a", "supported_parameters": None} | broken) == Card(keeps=frozenset({"openai.chat"}))


def test_broken_tiers_are_left_out() -> None:
    pricing = MODEL["pricing"] | {"overrides": [None, {}, {"min_prompt_tokens": "many"}, {"min_prompt_tokens": 5}]}
    price = read_card(MODEL | {"pricing": pricing}).price
    assert price
    assert [tier.prompt for tier in price.tiers] == [5]


def test_answers_that_are_spoken_are_an_ability() -> None:
    shape = {"input_modalities": None, "output_modalities": ["text", "audio"]}
    assert read_card(MODEL | {"architecture": shape, "supported_parameters": []}).abilities == {
        "files",
        "audio_out",
    }
