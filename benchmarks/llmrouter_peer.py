"""The router's own configuration for the measurement: every built-in feature is on, and none is in the way."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

KEY = "sk-bench-llmrouter"
PLENTY = 1_000_000_000


def configuration(address: Callable[[str], str], plain: Sequence[str], failing: Sequence[str]) -> dict[str, Any]:
    """A client key with limits, quota, a policy over peers, breaker, cache, metrics.

    Each upstream is a provider of its name; "fast" has a dearer twin, so that there is something to rank.
    A failing one is a group: it comes first because it is the cheapest, and "fast" is its peer.
    """
    providers = {name: _provider(address(name), 1.0) for name in plain}
    providers["fast-twin"] = _provider(address("fast"), 2.0)
    providers.update({name: _provider(address(name), 0.5) for name in failing})
    groups = {"bench": [["fast/mock-model", "fast-twin/mock-model"]]}
    groups.update({f"bench-{name}": [[f"{name}/mock-model", "fast/mock-model"]] for name in failing})
    key_hash = "sha256:" + hashlib.sha256(KEY.encode()).hexdigest()
    limits = [{"requests": PLENTY, "per": "minute"}, {"usd": PLENTY, "per": "day"}]
    return {
        "providers": providers,
        "groups": groups,
        "routing": {"default": "bench", "policy": {"plugin": "cost"}},
        "quota": {"plugin": "memory"},
        "cache": {"plugin": "memory", "ttl": "1h"},
        "metrics": [{"plugin": "prometheus"}],
        "logging": {"level": "warning"},
        "server": {"keys": [{"name": "bench", "hash": key_hash, "limits": limits}]},
    }


def _provider(base_url: str, price: float) -> dict[str, Any]:
    card = {"price": {"input": price, "output": price}, "context_window": 200_000, "quality": 0.8}
    return {
        "plugin": "openai",
        "profile": "custom",
        "base_url": base_url,
        "api_key": "none",
        "models": {"mock-model": card},
        "limits": [{"requests": PLENTY, "per": "minute"}, {"tokens": PLENTY * 1000, "per": "minute"}],
    }


def model_for(route: str) -> str:
    """The name a client asks for to reach a route."""
    if route == "fast":
        return "bench"
    return f"bench-{route}" if "-" in route else f"{route}/mock-model"
