"""Usage of Responses ⇄ exclusive buckets: `input_tokens` includes the cache, `output_tokens` includes reasoning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmrouter.types import Usage

from .openai_usage import cost_of, counts, own_key, searches_of

_TOTALS = ("input_tokens", "output_tokens")
_READ = ("cached_tokens", "cache_write_tokens")
_REASONED = ("reasoning_tokens",)


def read_usage(usage: Mapping[str, Any]) -> Usage:
    prompt, completion = counts(usage, _TOTALS)
    read, write = counts(usage.get("input_tokens_details"), _READ)
    (reasoning,) = counts(usage.get("output_tokens_details"), _REASONED)
    return Usage(
        input=max(0, prompt - read - write),
        cache_read=read,
        cache_write=write,
        output=max(0, completion - reasoning),
        reasoning=reasoning,
        searches=searches_of(usage),
        cost=cost_of(usage),
        own_key=own_key(usage),
    )


def write_usage(usage: Usage) -> dict[str, Any]:
    """Both objects of details always stand there: the SDK's own type demands them."""
    kept = usage.cache_write + usage.cache_write_1h
    written = {
        "input_tokens": usage.prompt,
        "input_tokens_details": {"cached_tokens": usage.cache_read, "cache_write_tokens": kept},
        "output_tokens": usage.completion,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.prompt + usage.completion,
    }
    return written if usage.cost is None else written | {"cost": usage.cost}
