"""Anthropic, and whoever else serves its Messages API: what sets one apart is a profile, which is data."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from llmrouter import BuildContext, ProviderType, hookimpl

from .config import AnthropicSettings, endpoints, schema, suggest

if TYPE_CHECKING:
    from .provider import AnthropicProvider


def build(config: AnthropicSettings, context: BuildContext) -> AnthropicProvider:
    from .provider import AnthropicProvider

    return AnthropicProvider(config, context)


@hookimpl
def llmrouter_register_providers() -> Iterable[ProviderType]:
    return [
        ProviderType(
            name="anthropic",
            config=AnthropicSettings,
            schema=schema(),
            build=build,
            endpoints=endpoints,
            suggest=suggest,
        )
    ]
