"""What the core brings itself, through the same door as every plugin: memory stores and the plain order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from attrs import frozen

from .engine.memory_cache import MemoryCache
from .engine.memory_quota import MemoryQuota
from .hookspecs import hookimpl
from .protocols import BuildContext, CacheType, PolicyType, QuotaStoreType
from .routing import CONFIGURED, Order

NAME = "llmrouter"
NOTHING: Mapping[str, Any] = {"type": "object", "properties": {}, "additionalProperties": False}


@frozen
class NoConfig:
    """Nothing to be set."""


@frozen
class MemoryCacheConfig:
    max_bytes: int = 64 * 1024 * 1024


def _quota(config: NoConfig, context: BuildContext) -> MemoryQuota:
    return MemoryQuota(context.clock)


def _cache(config: MemoryCacheConfig, context: BuildContext) -> MemoryCache:
    return MemoryCache(config.max_bytes, context.clock)


def _order(config: NoConfig, context: BuildContext) -> Order:
    return CONFIGURED


@hookimpl
def llmrouter_register_quota_stores() -> Iterable[QuotaStoreType]:
    return [QuotaStoreType(name="memory", config=NoConfig, schema=NOTHING, build=_quota)]


@hookimpl
def llmrouter_register_caches() -> Iterable[CacheType]:
    schema = {
        "type": "object",
        "properties": {
            "max_bytes": {
                "type": "integer",
                "minimum": 1,
                "default": 64 * 1024 * 1024,
                "description": "How many bytes of answers are kept; the oldest go first.",
            }
        },
        "additionalProperties": False,
    }
    return [CacheType(name="memory", config=MemoryCacheConfig, schema=schema, build=_cache)]


@hookimpl
def llmrouter_register_policies() -> Iterable[PolicyType]:
    return [PolicyType(name="order", config=NoConfig, schema=NOTHING, build=_order)]
