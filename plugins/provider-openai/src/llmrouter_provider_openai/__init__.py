"""OpenAI, and every provider that speaks its API: what sets one apart is a profile, which is data."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from llmrouter import BuildContext, ProviderType, hookimpl

from .config import OpenAISettings, endpoints, schema, suggest

if TYPE_CHECKING:
    from .provider import OpenAIProvider


def build(config: OpenAISettings, context: BuildContext) -> OpenAIProvider:
    from .provider import OpenAIProvider

    return OpenAIProvider(config, context)


@hookimpl
def llmrouter_register_providers() -> Iterable[ProviderType]:
    return [
        ProviderType(
            name="openai",
            config=OpenAISettings,
            schema=schema(),
            build=build,
            endpoints=endpoints,
            suggest=suggest,
        )
    ]
