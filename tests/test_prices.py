from __future__ import annotations

import pytest

from llmrouter.catalogue.prices import cost, expected_cost, expected_output
from llmrouter.types import Facts, Price, Tier, Usage, Wire

CHAT = Wire("openai.chat", False)


def facts(**changes: object) -> Facts:
    return Facts(**{"wire": CHAT, "asked": "x", "input_tokens": 2_000, **changes})  # type: ignore[arg-type]


def test_a_cost_is_expected_from_input_and_the_output_that_may_come() -> None:
    price = Price(input=1.0, output=10.0, request=0.5)
    assert expected_cost(price, 2_000, 100) == pytest.approx(0.002 + 0.001 + 0.5)
    assert expected_output(facts(max_output=100)) == 100
    assert expected_output(facts()) == 1_000


def test_a_large_max_output_is_not_taken_at_its_word() -> None:
    assert expected_output(facts(max_output=100_000)) == 1_000


def test_zero_is_a_price_and_unknown_is_none() -> None:
    assert expected_cost(Price(input=0, output=0), 2_000, 100) == 0.0
    assert expected_cost(None, 2_000, 100) is None
    assert cost(None, Usage(input=5)) is None


def test_the_providers_own_figure_wins() -> None:
    assert cost(Price(input=1.0, output=1.0), Usage(input=1_000_000, cost=0.25)) == 0.25
    assert cost(None, Usage(cost=0.25)) == 0.25


def test_every_bucket_of_usage_has_its_own_price() -> None:
    price = Price(input=1.0, output=10.0, cache_read=0.1, cache_write=2.0, request=0.5)
    million = 1_000_000
    usage = Usage(input=million, cache_read=million, cache_write=million, output=million, reasoning=million)
    assert cost(price, usage) == pytest.approx(1.0 + 0.1 + 2.0 + 20.0 + 0.5)


def test_cached_tokens_cost_what_input_costs_where_no_price_is_known() -> None:
    usage = Usage(cache_read=1_000_000, cache_write=1_000_000)
    assert cost(Price(input=3.0, output=0.0), usage) == pytest.approx(6.0)


def test_searches_are_billed_each() -> None:
    price = Price(input=0, output=0, request=0.002)
    assert [cost(price, Usage(searches=count)) for count in (0, 1, 3)] == pytest.approx([0.002, 0.002, 0.006])


TIERED = Price(
    input=1.0,
    output=2.0,
    cache_read=0.1,
    tiers=(Tier(prompt=400, input=4.0, output=8.0), Tier(prompt=200, input=2.0, output=4.0, cache_read=0.2)),
)


@pytest.mark.parametrize(("read", "usd"), [(0, 199 + 20), (1, 2 * 199 + 0.2 + 40), (201, 4 * 400 + 80)])
def test_a_longer_prompt_has_other_prices_for_all_of_the_request(read: int, usd: float) -> None:
    assert cost(TIERED, Usage(input=199, cache_read=read, output=10)) == pytest.approx(usd / 1_000_000)


def test_a_longer_prompt_is_expected_to_cost_more() -> None:
    assert expected_cost(TIERED, 200, 10) == pytest.approx(440 / 1_000_000)


def test_web_searches_have_a_price_of_their_own() -> None:
    price = Price(input=0, output=0, web_search=0.01)
    assert [cost(price, Usage(searches=count)) for count in (0, 3)] == pytest.approx([0.0, 0.03])
    both = Price(input=0, output=0, request=0.002, web_search=0.01)
    assert cost(both, Usage(searches=2)) == pytest.approx(0.024)
