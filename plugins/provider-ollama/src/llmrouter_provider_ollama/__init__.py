"""Ollama by its native API, whose chat has what its OpenAI-compatible one lacks: the length of the context."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from llmrouter import BuildContext, ProviderType, hookimpl

from .config import OllamaSettings, endpoints, schema, suggest
from .dialect import OllamaChat

if TYPE_CHECKING:
    from .provider import OllamaProvider


def build(config: OllamaSettings, context: BuildContext) -> OllamaProvider:
    from .provider import OllamaProvider

    return OllamaProvider(config, context)


@hookimpl
def llmrouter_register_providers() -> Iterable[ProviderType]:
    return [
        ProviderType(
            name="ollama",
            config=OllamaSettings,
            schema=schema(),
            build=build,
            endpoints=endpoints,
            dialects=(OllamaChat(),),
            suggest=suggest,
        )
    ]
