"""Orders candidates by what a request is expected to cost, weighed against quality, speed and headroom."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from attrs import frozen

from llmrouter import BuildContext, PolicyType, hookimpl

if TYPE_CHECKING:
    from .policy import Cost


@frozen(kw_only=True)
class Config:
    mode: Literal["cheapest", "balanced", "quality"] = "balanced"
    prefer_free_tier: bool | None = None  # None: unless quality is what counts
    max_cost_per_request: float | None = None  # USD
    min_quality: float = 0.0
    fallback_chain: tuple[str, ...] = ()


def build(config: Config, context: BuildContext) -> Cost:
    from .policy import Cost

    free_first = config.mode != "quality" if config.prefer_free_tier is None else config.prefer_free_tier
    return Cost(
        mode=config.mode,
        free_first=free_first,
        ceiling=config.max_cost_per_request,
        floor=config.min_quality,
        last=config.fallback_chain,
    )


@hookimpl
def llmrouter_register_policies() -> Iterable[PolicyType]:
    schema = json.loads(Path(__file__).with_name("schema.json").read_text("utf-8"))
    return [PolicyType(name="cost", config=Config, schema=schema, build=build)]
