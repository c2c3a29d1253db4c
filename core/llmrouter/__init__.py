"""A router in front of many LLM providers.

The names here are for plugin authors; they load on first use, so that `llmrouter --help` stays quick.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .hookspecs import hookimpl
    from .protocols import (
        AppType,
        BuildContext,
        CacheType,
        MetricsSinkType,
        PolicyType,
        ProviderType,
        QuotaStoreType,
        RepairType,
        TokenCounterType,
    )

__version__ = "0.1.0"

__all__ = [
    "AppType",
    "BuildContext",
    "CacheType",
    "MetricsSinkType",
    "PolicyType",
    "ProviderType",
    "QuotaStoreType",
    "RepairType",
    "TokenCounterType",
    "__version__",
    "hookimpl",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(".hookspecs" if name == "hookimpl" else ".protocols", __name__), name)
