"""{{ cookiecutter.__title }}, by its own API."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from llmrouter import BuildContext, ProviderType, hookimpl

from .config import SCHEMA, {{ cookiecutter.__class }}Settings, endpoints, suggest
from .dialect import {{ cookiecutter.__class }}Chat

if TYPE_CHECKING:
    from .provider import {{ cookiecutter.__class }}Provider


def build(config: {{ cookiecutter.__class }}Settings, context: BuildContext) -> {{ cookiecutter.__class }}Provider:
    from .provider import {{ cookiecutter.__class }}Provider  # loads an HTTP client

    return {{ cookiecutter.__class }}Provider(config, context)


@hookimpl
def llmrouter_register_providers() -> Iterable[ProviderType]:
    return [
        ProviderType(
            name="{{ cookiecutter.name }}",
            config={{ cookiecutter.__class }}Settings,
            schema=SCHEMA,
            build=build,
            endpoints=endpoints,
            dialects=({{ cookiecutter.__class }}Chat(),),
            suggest=suggest,
        )
    ]
