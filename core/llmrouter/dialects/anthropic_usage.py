"""Usage of Messages ⇄ exclusive buckets.

`input_tokens` leaves out what the cache gave and took; `output_tokens` includes thoughts. A stream tells its input
at the start and everything again at the end, where some relays leave out what has not changed.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec.structs import asdict, replace

from llmrouter.types import Usage

from .openai_usage import cost_of, own_key

Count = int | float | None


class Writes(msgspec.Struct, gc=False):
    """What was written into the cache, by how long it is kept there."""

    ephemeral_5m_input_tokens: Count = None
    ephemeral_1h_input_tokens: Count = None


class OutputDetails(msgspec.Struct, gc=False):
    thinking_tokens: Count = None


class Counts(msgspec.Struct, gc=False):
    """The `usage` of an answer; what is not told is None."""

    input_tokens: Count = None
    output_tokens: Count = None
    cache_creation_input_tokens: Count = None
    cache_read_input_tokens: Count = None
    cache_creation: Writes | None = None
    output_tokens_details: OutputDetails | None = None
    cost: Any = None  # of gateways, in USD, with what it is made of
    cost_details: Any = None
    is_byok: Any = None


def merged(before: Counts | None, now: Counts) -> Counts:
    """The latest of every count."""
    if before is None:
        return now
    told = {name: value for name, value in asdict(now).items() if value is not None}
    return replace(before, **told)


def read_usage(counts: Counts) -> Usage:
    kept, details = counts.cache_creation, counts.output_tokens_details
    long = _count(kept.ephemeral_1h_input_tokens) if kept else 0
    written = _count(counts.cache_creation_input_tokens)
    if not written and kept:
        written = _count(kept.ephemeral_5m_input_tokens) + long
    thought = _count(details.thinking_tokens) if details else 0
    told = {"cost": counts.cost, "cost_details": counts.cost_details, "is_byok": counts.is_byok}
    return Usage(
        input=_count(counts.input_tokens),
        cache_read=_count(counts.cache_read_input_tokens),
        cache_write=max(0, written - long),
        cache_write_1h=long,
        output=max(0, _count(counts.output_tokens) - thought),
        reasoning=thought,
        cost=cost_of(told),
        own_key=own_key(told),
    )


def write_usage(usage: Usage) -> dict[str, Any]:
    written: dict[str, Any] = {
        "input_tokens": usage.input,
        "cache_creation_input_tokens": usage.cache_write + usage.cache_write_1h,
        "cache_read_input_tokens": usage.cache_read,
        "cache_creation": {
            "ephemeral_5m_input_tokens": usage.cache_write,
            "ephemeral_1h_input_tokens": usage.cache_write_1h,
        },
        "output_tokens": usage.completion,
    }
    if usage.reasoning:
        written["output_tokens_details"] = {"thinking_tokens": usage.reasoning}
    return written if usage.cost is None else written | {"cost": usage.cost}


def _count(value: Count) -> int:
    return int(value) if value and value > 0 else 0
