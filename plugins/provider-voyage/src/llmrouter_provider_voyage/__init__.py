"""Voyage AI: embeddings and rerankers, asked in OpenAI's and Cohere's words."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from llmrouter import BuildContext, ProviderType, hookimpl

from .config import VoyageSettings, endpoints, schema, suggest

if TYPE_CHECKING:
    from .provider import VoyageProvider


def build(config: VoyageSettings, context: BuildContext) -> VoyageProvider:
    from .provider import VoyageProvider

    return VoyageProvider(config, context)


@hookimpl
def llmrouter_register_providers() -> Iterable[ProviderType]:
    return [
        ProviderType(
            name="voyage",
            config=VoyageSettings,
            schema=schema(),
            build=build,
            endpoints=endpoints,
            suggest=suggest,
        )
    ]
