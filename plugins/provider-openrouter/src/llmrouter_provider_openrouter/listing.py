"""What `GET /models` says of a model → its card.

Prices are texts, USD per token. Some models say -1: what they route to has the price, and nobody knows it before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from llmrouter.types import Card, Price, Tier

from .config import KEEPS, known

MILLION = 1_000_000
_ABILITIES: Mapping[str, str] = {
    "tools": "tools",
    "structured_outputs": "json_schema",
    "response_format": "json_object",
    "logprobs": "logprobs",
    "web_search_options": "web_search",
}
"""Members of `supported_parameters`."""
_MODALITIES: Mapping[str, str] = {"image": "vision", "audio": "audio"}
_RATES = {
    "input": "prompt",
    "output": "completion",
    "cache_read": "input_cache_read",
    "cache_write": "input_cache_write",
    "cache_write_1h": "input_cache_write_1h",
}
"""Our names of prices per token → theirs."""


def read_card(model: Mapping[str, Any]) -> Card:
    """What is not said, or not as it should be, is unknown."""
    top, shape = _object(model.get("top_provider")), _object(model.get("architecture"))
    return Card(
        abilities=_abilities(model.get("supported_parameters"), shape),
        window=_count(model.get("context_length")) or _count(top.get("context_length")),
        max_output=_count(top.get("max_completion_tokens")),
        price=_price(_object(model.get("pricing"))) or known(str(model.get("id"))).price,
        keeps=KEEPS,
    )


def _abilities(parameters: Any, shape: Mapping[str, Any]) -> frozenset[str] | None:
    if not isinstance(parameters, list):
        return None
    found = {"files"}  # it reads them to models that cannot
    found |= {_ABILITIES[one] for one in parameters if one in _ABILITIES}
    found |= {_MODALITIES[one] for one in _list(shape.get("input_modalities")) if one in _MODALITIES}
    return frozenset(found | ({"audio_out"} if "audio" in _list(shape.get("output_modalities")) else set()))


def _price(said: Mapping[str, Any]) -> Price | None:
    rates = _rates(said)
    if "input" not in rates or "output" not in rates:
        return None
    return Price(
        **rates,
        request=_usd(said.get("request")) or 0.0,
        web_search=_usd(said.get("web_search")) or 0.0,
        tiers=tuple(_tier(one, rates) for one in _list(said.get("overrides")) if _from(one)),
    )


def _tier(said: Mapping[str, Any], under: Mapping[str, float]) -> Tier:
    """The prices of longer prompts; what they do not change stays."""
    rates: dict[str, Any] = {**under, **_rates(said)}
    return Tier(prompt=_from(said), **rates)


def _rates(said: Mapping[str, Any]) -> dict[str, float]:
    """USD per million tokens, by our names."""
    found = {ours: _usd(said.get(theirs)) for ours, theirs in _RATES.items()}
    return {name: usd * MILLION for name, usd in found.items() if usd is not None}


def _from(tier: Any) -> int:
    """From how many tokens of prompt on a tier holds; 0 for what is none."""
    return _count(_object(tier).get("min_prompt_tokens")) or 0


def _usd(value: Any) -> float | None:
    try:
        usd = float(value)
    except (TypeError, ValueError):
        return None
    return usd if 0.0 <= usd < float("inf") else None


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else ()
