"""What an entry of `providers` may say, and the endpoints that follow from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import frozen
from llmrouter.provider import ProviderSettings, accounts_of, base_url_of, card_of
from llmrouter.types import ANY_MODEL, Card, Endpoint

from .dialect import NAME

BASE_URL = "{{ cookiecutter.__address }}"
VARIABLE = "{{ cookiecutter.key_variable }}"
SCHEMA: Mapping[str, Any] = {"type": "object", "properties": {}}
"""Keys of its own, each with a `description` here and a field below. Those of all providers are the core's."""


@frozen(kw_only=True)
class {{ cookiecutter.__class }}Settings(ProviderSettings):
    """Raises ValueError for an address that is none, and for an account without a key."""

    def __attrs_post_init__(self) -> None:
        self.address()
        missing = [one.id for one in self.accounts if one.enabled and not one.api_key]
        if missing and self.enabled:
            raise ValueError(f"{{ cookiecutter.__title }} needs a key: set `api_key` ({', '.join(missing)})")

    def address(self) -> str:
        """Scheme, host and prefix of the upstream."""
        return base_url_of(self.base_url or BASE_URL, None)


def endpoints(config: ProviderSettings) -> Sequence[Endpoint]:
    """The models of the configuration, and one endpoint for every other id."""
    if not accounts_of(config):
        return []
    return [endpoint(config, model) for model in dict.fromkeys([*config.models, ANY_MODEL])]


def endpoint(config: ProviderSettings, model: str, known: Card | None = None) -> Endpoint:
    """A model, with what is known of it, under what the configuration says."""
    return Endpoint(
        provider=config.name,
        model=model,
        dialects=(NAME,),
        accounts=accounts_of(config),
        card=card_of(known or Card(), config.models.get(model)),
    )


def suggest(environ: Mapping[str, str]) -> Mapping[str, Any]:
    """An entry, where a key stands in the environment."""
    entry = {"plugin": "{{ cookiecutter.name }}", "api_key": f"${% raw %}{{{VARIABLE}}}{% endraw %}"}
    return {"{{ cookiecutter.name }}": entry} if environ.get(VARIABLE) else {}
