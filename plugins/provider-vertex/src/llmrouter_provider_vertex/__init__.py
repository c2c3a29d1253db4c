"""Google's models on Vertex AI: Gemini's dialect, by project and location, with Google's own credentials."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from llmrouter import BuildContext, ProviderType, hookimpl

from .config import VertexSettings, endpoints, schema, suggest

if TYPE_CHECKING:
    from .provider import VertexProvider


def build(config: VertexSettings, context: BuildContext) -> VertexProvider:
    from .provider import VertexProvider

    return VertexProvider(config, context)


@hookimpl
def llmrouter_register_providers() -> Iterable[ProviderType]:
    return [
        ProviderType(
            name="vertex",
            config=VertexSettings,
            schema=schema(),
            build=build,
            endpoints=endpoints,
            suggest=suggest,
        )
    ]
