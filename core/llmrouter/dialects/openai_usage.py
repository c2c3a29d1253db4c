"""Usage of the OpenAI family ⇄ exclusive buckets.

`prompt_tokens` includes what the cache gave and took, `completion_tokens` includes reasoning; the vendors'
deviations are named where they are read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

import msgspec

from llmrouter.types import Usage

C = TypeVar("C", bound=msgspec.Struct)

TICKS = 10_000_000_000  # of `cost_in_usd_ticks` in a dollar

TOTALS = (
    "prompt_tokens", "completion_tokens", "total_tokens", "prompt_cache_hit_tokens", "cached_tokens",
)  # fmt: skip
DETAILS = ("prompt_tokens_details", "completion_tokens_details", "server_tool_use_details")
COSTS = ("cost", "cost_in_usd_ticks")

Count = Annotated[int, msgspec.Meta(ge=0)]
_NUMBER = (int, float)


class Details(msgspec.Struct, gc=False):
    """What is counted apart: of a prompt, of a completion, of the tools that were used."""

    cached_tokens: Count = 0
    cache_write_tokens: Count = 0
    reasoning_tokens: Count = 0
    web_search_requests: Count = 0


class Bill(msgspec.Struct, gc=False):
    """What the vendor asks for, where the cost is a fee on a key of one's own; USD."""

    upstream_inference_cost: float | None = None


class Fee(msgspec.Struct, gc=False, kw_only=True):
    """What a gateway says of the cost."""

    cost: float | None = None  # USD
    cost_in_usd_ticks: float | None = None
    is_byok: bool | None = None
    cost_details: Bill | None = None


class Used(Fee, gc=False, kw_only=True):
    """Usage as nearly all vendors write it."""

    prompt_tokens: Count = 0
    completion_tokens: Count = 0
    total_tokens: Count = 0
    prompt_cache_hit_tokens: Count = 0
    cached_tokens: Count = 0
    prompt_tokens_details: Details | None = None
    completion_tokens_details: Details | None = None
    server_tool_use_details: Details | None = None


def read_usage(usage: Mapping[str, Any]) -> Usage:
    """Reads Chat Completions, Completions and Embeddings."""
    try:
        return usage_of(msgspec.convert(usage, Used))
    except msgspec.ValidationError:
        return usage_of(_mended(usage))


def usage_of(said: Used) -> Usage:
    """The same, of what was decoded. Some vendors report the total alone."""
    prompt, completion, total = said.prompt_tokens, said.completion_tokens, said.total_tokens
    read, write, reasoning = said.prompt_cache_hit_tokens or said.cached_tokens, 0, 0
    if details := said.prompt_tokens_details:
        read, write = details.cached_tokens or read, details.cache_write_tokens
    if details := said.completion_tokens_details:
        reasoning = details.reasoning_tokens
    apart = total == prompt + completion + reasoning  # xAI leaves it out of completion_tokens
    if not prompt and not completion:
        prompt = total
    return Usage(
        input=prompt - read - write if read + write <= prompt else prompt,  # Azure's Grok leaves the cache out
        cache_read=read,
        cache_write=write,
        output=completion if apart else max(0, completion - reasoning),
        reasoning=reasoning,
        searches=said.server_tool_use_details.web_search_requests if said.server_tool_use_details else 0,
        cost=_cost(said),
        own_key=said.is_byok,
    )


def _cost(said: Fee) -> float | None:
    """USD. Where it is a fee on a key of one's own, the vendor's bill is added."""
    if said.cost is None:
        return None if said.cost_in_usd_ticks is None else said.cost_in_usd_ticks / TICKS
    bill = said.cost_details.upstream_inference_cost if said.is_byok and said.cost_details else None
    return said.cost + (bill or 0.0)


def _mended(usage: Mapping[str, Any]) -> Used:
    """What can be read of a usage that holds something else: each value for itself."""
    said: dict[str, Any] = {name: _count(usage.get(name)) for name in TOTALS}
    said |= {name: counts(usage.get(name), Details) for name in DETAILS}
    return Used(**said, **_fee(usage))


def _fee(usage: Mapping[str, Any]) -> dict[str, Any]:
    said: dict[str, Any] = {name: usage[name] for name in COSTS if isinstance(usage.get(name), _NUMBER)}
    return said | {"is_byok": own_key(usage), "cost_details": Bill(_upstream_cost(usage))}


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


def counts(usage: Any, kind: type[C]) -> C:
    """The counts of this kind; 0 for what is missing, negative or no number."""
    if usage is None:
        return kind()
    try:
        return msgspec.convert(usage, kind)
    except msgspec.ValidationError:
        said = usage if isinstance(usage, dict) else {}
        return kind(*[_count(said.get(name)) for name in kind.__struct_fields__])


def cost_of(usage: Mapping[str, Any]) -> float | None:
    """What the provider reports, USD."""
    return _cost(Fee(**_fee(usage)))


def own_key(usage: Mapping[str, Any]) -> bool | None:
    """OpenRouter's `is_byok`; None where nothing is said."""
    said = usage.get("is_byok")
    return said if isinstance(said, bool) else None


def searches_of(usage: Mapping[str, Any]) -> int:
    """Web searches that OpenRouter made, or had made, for the answer."""
    return counts(usage.get("server_tool_use_details"), Details).web_search_requests


def _upstream_cost(usage: Mapping[str, Any]) -> float:
    details = usage.get("cost_details")
    cost = details.get("upstream_inference_cost") if isinstance(details, dict) else None
    return float(cost) if isinstance(cost, _NUMBER) else 0.0


def _count(said: Any) -> int:
    return int(said) if isinstance(said, _NUMBER) and said > 0 else 0
