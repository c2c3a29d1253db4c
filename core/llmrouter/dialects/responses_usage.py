"""Usage of Responses ⇄ exclusive buckets: `input_tokens` includes the cache, `output_tokens` includes reasoning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from llmrouter.types import Usage

from .openai_usage import Count, Details, cost_of, counts, own_key, searches_of


class Totals(msgspec.Struct, gc=False):
    input_tokens: Count = 0
    output_tokens: Count = 0


def read_usage(usage: Mapping[str, Any]) -> Usage:
    said, details = counts(usage, Totals), counts(usage.get("input_tokens_details"), Details)
    read, write = details.cached_tokens, details.cache_write_tokens
    reasoning = counts(usage.get("output_tokens_details"), Details).reasoning_tokens
    return Usage(
        input=max(0, said.input_tokens - read - write),
        cache_read=read,
        cache_write=write,
        output=max(0, said.output_tokens - reasoning),
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
