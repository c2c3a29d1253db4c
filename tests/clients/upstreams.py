"""The upstreams that a router stands in front of: one for every wire."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from llmrouter.testing.upstream import Upstream
from tests.harness import Serving, serving

from .model import model

UPSTREAMS: Mapping[str, Mapping[str, str]] = {
    "chat": {"plugin": "openai", "profile": "custom", "base_url": "{}/v1"},
    "responses": {"plugin": "openai", "profile": "{folder}/responses.yaml", "base_url": "{}/v1"},
    "messages": {"plugin": "anthropic", "profile": "custom", "base_url": "{}"},
    "gemini": {"plugin": "gemini", "base_url": "{}"},
}
"""Providers by the wire they speak; {} is the address."""
RESPONSES = "about: A server that speaks Responses alone.\nkeyless: true\ndialects: [openai.responses]\n"


@contextmanager
def in_front_of(wire: str, *names: str) -> Iterator[tuple[Serving, Upstream]]:
    """A router, and the scripted model behind it: served as `auto`, as the group `fast`, and by these names."""
    with Upstream(model(wants_proof=False)) as upstream, TemporaryDirectory() as folder:
        Path(folder, "responses.yaml").write_text(RESPONSES)
        entry = {name: value.format(upstream.base_url, folder=folder) for name, value in UPSTREAMS[wire].items()}
        config = {
            "providers": {"up": {**entry, "api_key": "k", "models": {"m": {}}}},
            "groups": {name: ["up/m"] for name in ("fast", *names)},
            "routing": {"default": "fast"},
            "logging": {"level": "error"},
        }
        with serving(json.dumps(config)) as router:
            yield router, upstream
