"""What lists of models say of a model: every provider of the family adds fields of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from attrs import evolve, fields_dict

from llmrouter.types import Card, Price

WINDOWS = ("context_window", "max_model_len", "max_context_length", "context_length")
OUTPUTS = ("max_output", "max_completion_tokens", "max_output_tokens", "max_output_length")
"""Names of the context window and of the longest answer, in tokens."""
CAPABILITIES = {"function_calling": "tools", "vision": "vision", "audio": "audio"}
"""Mistral's words for what a model can do."""
PRICES = {
    "prompt": "input",
    "completion": "output",
    "input_cache_read": "cache_read",
    "input_cache_write": "cache_write",
}
"""OpenRouter's words, in USD per token, as text; others have taken them over."""


def listed(one: Mapping[str, Any], known: Card, family: frozenset[str] | None) -> Card:
    """A card with what its profile does not know; `family` is what its models can do, where it says so."""
    return evolve(
        known,
        window=known.window or _count(one, WINDOWS),
        max_output=known.max_output or _count(one, OUTPUTS),
        price=known.price or _own_price(one.get("price")) or _price(one.get("pricing")),
        abilities=_abilities(one, family) if known.abilities is None else known.abilities,
    )


def _count(one: Mapping[str, Any], names: Sequence[str]) -> int | None:
    return next((one[name] for name in names if type(one.get(name)) is int and one[name] > 0), None)


def _own_price(said: Any) -> Price | None:
    """As another llmrouter says it: in our own words, and no others."""
    if not isinstance(said, Mapping) or not said.keys() <= fields_dict(Price).keys():
        return None
    try:
        return msgspec.convert(said, Price)
    except msgspec.ValidationError:
        return None


def _price(said: Any) -> Price | None:
    """A price below zero is one that depends on the model that a request is passed on to."""
    try:
        price: dict[str, Any] = {
            ours: float(said[theirs]) * 1e6 for theirs, ours in PRICES.items() if theirs in said
        }
        return Price(**price, request=float(said.get("request", 0))) if min(price.values()) >= 0 else None
    except (AttributeError, TypeError, ValueError):
        return None


def _abilities(one: Mapping[str, Any], family: frozenset[str] | None) -> frozenset[str] | None:
    """Where a list speaks of some abilities only, the others are those of the family."""
    own, some = one.get("abilities"), one.get("capabilities")
    if isinstance(own, list):
        return frozenset(map(str, own))
    if family is None or not isinstance(some, Mapping):
        return None
    yes, no = ({CAPABILITIES[name] for name in CAPABILITIES if some.get(name) is is_so} for is_so in (True, False))
    return family - no | yes
