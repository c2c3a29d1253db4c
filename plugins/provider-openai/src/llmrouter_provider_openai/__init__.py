"""OpenAI, and every provider that speaks its API: what sets one apart is a profile, which is data."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING

from llmrouter import BuildContext, ProviderType, hookimpl

from .config import OpenAISettings, endpoints, schema, settings_of, suggest, suggestion_of
from .profile import parsed

if TYPE_CHECKING:
    from .provider import OpenAIProvider


def build(config: OpenAISettings, context: BuildContext) -> OpenAIProvider:
    from .provider import OpenAIProvider

    return OpenAIProvider(config, context)


def provider_of(name: str, text: str) -> ProviderType:
    """A plugin of its own for one provider of the family, for packages that bring a profile.

    `text` is the profile, as YAML. Raises ValueError that says what is wrong with it.
    """
    profile = parsed(text, name)
    keys = schema()
    own = {key: said for key, said in keys["properties"].items() if key != "profile"}
    return ProviderType(
        name=name,
        config=settings_of(name, profile),
        schema={**keys, "properties": own},
        build=build,
        endpoints=endpoints,
        suggest=partial(suggestion_of, name, profile),
    )


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
