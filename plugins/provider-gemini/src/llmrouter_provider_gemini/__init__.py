"""Google's Gemini API, in its own dialect: one key per project, and what Google says of its limits."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from llmrouter import BuildContext, ProviderType, hookimpl

from .config import GeminiSettings, endpoints, presets, schema, suggest

if TYPE_CHECKING:
    from .provider import GeminiProvider


def build(config: GeminiSettings, context: BuildContext) -> GeminiProvider:
    from .provider import GeminiProvider

    return GeminiProvider(config, context)


@hookimpl
def llmrouter_register_providers() -> Iterable[ProviderType]:
    return [
        ProviderType(
            name="gemini",
            config=GeminiSettings,
            schema=schema(),
            build=build,
            endpoints=endpoints,
            limits=presets(),
            suggest=suggest,
        )
    ]
