"""Usage of the OpenAI family ⇄ exclusive buckets.

`prompt_tokens` includes what the cache gave and took, `completion_tokens` includes reasoning; the vendors'
deviations are named where they are read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmrouter.types import Usage

TICKS = 10_000_000_000  # of `cost_in_usd_ticks` in a dollar


def read_usage(usage: Mapping[str, Any]) -> Usage:
    """Reads Chat Completions, Completions and Embeddings, whose vendors may report the total alone."""
    prompt, completion = _count(usage, "prompt_tokens"), _count(usage, "completion_tokens")
    total = _count(usage, "total_tokens")
    read = write = reasoning = 0
    if details := _details(usage, "prompt_tokens_details"):
        read, write = _count(details, "cached_tokens"), _count(details, "cache_write_tokens")
    if details := _details(usage, "completion_tokens_details"):
        reasoning = _count(details, "reasoning_tokens")
    read = read or _count(usage, "prompt_cache_hit_tokens") or _count(usage, "cached_tokens")
    apart = reasoning and total == prompt + completion + reasoning  # xAI leaves it out of completion_tokens
    if not prompt and not completion:
        prompt = total
    return Usage(
        input=max(0, prompt - read - write),
        cache_read=read,
        cache_write=write,
        output=completion if apart else max(0, completion - reasoning),
        reasoning=reasoning,
        cost=_cost(usage),
    )


def write_usage(usage: Usage) -> dict[str, Any]:
    prompt = usage.input + usage.cache_read + usage.cache_write
    completion = usage.output + usage.reasoning
    written = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": usage.cache_read, "cache_write_tokens": usage.cache_write},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning},
    }
    return written if usage.cost is None else written | {"cost": usage.cost}


def _count(usage: Mapping[str, Any], name: str) -> int:
    value = usage.get(name)
    return int(value) if isinstance(value, int | float) and value > 0 else 0


def _details(usage: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    details = usage.get(name)
    return details if isinstance(details, dict) else {}


def _cost(usage: Mapping[str, Any]) -> float | None:
    cost, ticks = usage.get("cost"), usage.get("cost_in_usd_ticks")
    if isinstance(cost, int | float):
        return float(cost)
    return ticks / TICKS if isinstance(ticks, int | float) else None
