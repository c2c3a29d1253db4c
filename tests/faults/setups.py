"""Configurations of the fault tests."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

PATIENCE = {"connect": "1500ms", "headers": "1500ms", "ttft_hard": "1500ms", "idle": "1500ms"}
"""Short enough for a test, long enough for a busy machine."""


def config(
    providers: Mapping[str, str],
    groups: Mapping[str, Any],
    *,
    engine: Mapping[str, Any] | None = None,
    **more: Any,
) -> str:
    """A configuration in JSON, which is YAML: one OpenAI-shaped provider with model `m` per address."""
    entries = {
        name: {
            "plugin": "openai",
            "profile": "custom",
            "base_url": f"{url}/v1",
            "api_key": "k",
            "models": {"m": {}},
        }
        for name, url in providers.items()
    }
    whole = {
        "providers": entries,
        "groups": groups,
        "engine": {"timeouts": PATIENCE, "deadline": "8s", **(engine or {})},
        "logging": {"level": "error"},
        "catalogue": {"refresh": None},  # upstreams count what they are asked
        **more,
    }
    return json.dumps(whole, indent=1)
