"""What an answer cost where a gateway says so, in every dialect that gateways speak."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from llmrouter.dialects import anthropic_usage, openai_usage, responses_usage
from llmrouter.types import Usage


def read(usage: dict[str, Any]) -> set[Usage]:
    """The same usage as it is read in each of the dialects."""
    counts = msgspec.convert(usage, anthropic_usage.Counts)
    return {openai_usage.read_usage(usage), responses_usage.read_usage(usage), anthropic_usage.read_usage(counts)}


@pytest.mark.parametrize(
    ("usage", "cost", "own_key"),
    [
        ({"cost": 0.5}, 0.5, None),
        ({"cost": 0}, 0.0, None),
        ({"cost": None, "is_byok": "yes"}, None, None),
        ({"cost": 0.5, "is_byok": False, "cost_details": {"upstream_inference_cost": 0.5}}, 0.5, False),
        ({"cost": 0.25, "is_byok": True, "cost_details": {"upstream_inference_cost": 0.5}}, 0.75, True),
        ({"cost": 0.25, "is_byok": True, "cost_details": None}, 0.25, True),
        ({"cost": 0.25, "is_byok": True, "cost_details": {"upstream_inference_cost": None}}, 0.25, True),
    ],
)
def test_the_bill_of_a_key_of_ones_own_is_added_to_the_fee(
    usage: dict[str, Any], cost: float | None, own_key: bool | None
) -> None:
    assert read(usage) == {Usage(cost=cost, own_key=own_key)}


def test_web_searches_are_counted() -> None:
    usage = {"server_tool_use_details": {"web_search_requests": 3}}
    assert {openai_usage.read_usage(usage), responses_usage.read_usage(usage)} == {Usage(searches=3)}
