"""Usage of the OpenAI family ⇄ exclusive buckets.

`prompt_tokens` includes what the cache gave and took, `completion_tokens` includes reasoning; the vendors'
deviations are named where they are read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from llmrouter.types import Usage

TICKS = 10_000_000_000  # of `cost_in_usd_ticks` in a dollar

_NUMBER = (int, float)
_TOTALS = ("prompt_tokens", "completion_tokens", "total_tokens", "prompt_cache_hit_tokens", "cached_tokens")
_READ = ("cached_tokens", "cache_write_tokens")
_REASONED = ("reasoning_tokens",)
_SEARCHED = ("web_search_requests",)


def read_usage(usage: Mapping[str, Any]) -> Usage:
    """Reads Chat Completions, Completions and Embeddings, whose vendors may report the total alone."""
    prompt, completion, total, hit, cached = counts(usage, _TOTALS)
    read, write = counts(usage.get("prompt_tokens_details"), _READ)
    (reasoning,) = counts(usage.get("completion_tokens_details"), _REASONED)
    read = read or hit or cached
    apart = reasoning and total == prompt + completion + reasoning  # xAI leaves it out of completion_tokens
    if not prompt and not completion:
        prompt = total
    return Usage(
        input=prompt - read - write if read + write <= prompt else prompt,  # Azure's Grok leaves the cache out
        cache_read=read,
        cache_write=write,
        output=completion if apart else max(0, completion - reasoning),
        reasoning=reasoning,
        searches=searches_of(usage),
        cost=cost_of(usage),
        own_key=own_key(usage),
    )


def write_usage(usage: Usage) -> dict[str, Any]:
    kept = usage.cache_write + usage.cache_write_1h
    written = {
        "prompt_tokens": usage.prompt,
        "completion_tokens": usage.completion,
        "total_tokens": usage.prompt + usage.completion,
        "prompt_tokens_details": {"cached_tokens": usage.cache_read, "cache_write_tokens": kept},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning},
    }
    return written if usage.cost is None else written | {"cost": usage.cost}


def counts(usage: Any, names: Sequence[str]) -> list[int]:
    """The counts of these names; 0 for what is missing, negative or no number."""
    if not isinstance(usage, dict):
        return [0] * len(names)
    said = map(usage.get, names)
    return [int(count) if count and isinstance(count, _NUMBER) and count > 0 else 0 for count in said]


def cost_of(usage: Mapping[str, Any]) -> float | None:
    """What the provider reports, USD. Where it is a fee on a key of one's own, the vendor's bill is added."""
    cost, ticks = usage.get("cost"), usage.get("cost_in_usd_ticks")
    if isinstance(cost, _NUMBER):
        return float(cost) + (_upstream_cost(usage) if own_key(usage) else 0.0)
    return ticks / TICKS if isinstance(ticks, _NUMBER) else None


def own_key(usage: Mapping[str, Any]) -> bool | None:
    """OpenRouter's `is_byok`; None where nothing is said."""
    said = usage.get("is_byok")
    return said if isinstance(said, bool) else None


def searches_of(usage: Mapping[str, Any]) -> int:
    """Web searches that OpenRouter made, or had made, for the answer."""
    (searches,) = counts(usage.get("server_tool_use_details"), _SEARCHED)
    return searches


def _upstream_cost(usage: Mapping[str, Any]) -> float:
    details = usage.get("cost_details")
    cost = details.get("upstream_inference_cost") if isinstance(details, dict) else None
    return float(cost) if isinstance(cost, _NUMBER) else 0.0
