"""OpenRouter: hundreds of models behind one key, with their prices, limits and balance."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from llmrouter import BuildContext, ProviderType, hookimpl

from .config import OpenRouterSettings, endpoints, schema, suggest

if TYPE_CHECKING:
    from .provider import OpenRouterProvider


def build(config: OpenRouterSettings, context: BuildContext) -> OpenRouterProvider:
    from .provider import OpenRouterProvider

    return OpenRouterProvider(config, context)


@hookimpl
def llmrouter_register_providers() -> Iterable[ProviderType]:
    return [
        ProviderType(
            name="openrouter",
            config=OpenRouterSettings,
            schema=schema(),
            build=build,
            endpoints=endpoints,
            suggest=suggest,
        )
    ]
