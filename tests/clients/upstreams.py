"""The upstreams that a router stands in front of: one for every wire."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from llmrouter.testing.upstream import Upstream
from tests.harness import Serving, serving

from .model import model

UPSTREAMS: Mapping[str, Mapping[str, Any]] = {
    "chat": {"plugin": "openai", "profile": "custom", "base_url": "{}/v1"},
}
"""Providers by the wire they speak; {} is the address."""


@contextmanager
def in_front_of(wire: str) -> Iterator[tuple[Serving, Upstream]]:
    """A router, and the scripted model behind it."""
    with Upstream(model(wants_proof=False)) as upstream, serving(_configuration(wire, upstream.base_url)) as router:
        yield router, upstream


def _configuration(wire: str, address: str) -> str:
    """A router with one upstream. It is served as `auto`, and as the group `fast`."""
    entry = {name: value.format(address) for name, value in UPSTREAMS[wire].items()}
    return json.dumps(
        {
            "providers": {"up": {**entry, "api_key": "k", "models": {"m": {}}}},
            "groups": {"fast": ["up/m"]},
            "routing": {"default": "fast"},
            "logging": {"level": "error"},
        }
    )
