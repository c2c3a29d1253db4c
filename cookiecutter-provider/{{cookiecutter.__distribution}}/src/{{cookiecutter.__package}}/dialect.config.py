"""What an entry of `providers` may say, and the endpoints that follow from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import frozen
from llmrouter.provider import ProviderSettings, base_url_of, endpoints_of, require_keys
from llmrouter.types import Card, Endpoint

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
        require_keys(self, "{{ cookiecutter.__title }}")

    def address(self) -> str:
        """Scheme, host and prefix of the upstream."""
        return base_url_of(self.base_url or BASE_URL, None)


def endpoints(config: ProviderSettings) -> Sequence[Endpoint]:
    """The models of the configuration, and one endpoint for every other id."""
    return endpoints_of(config, (), dialects=lambda model: (NAME,), card=lambda model: Card())


def suggest(environ: Mapping[str, str]) -> Mapping[str, Any]:
    """An entry, where a key stands in the environment."""
    entry = {"plugin": "{{ cookiecutter.name }}", "api_key": f"${% raw %}{{{VARIABLE}}}{% endraw %}"}
    return {"{{ cookiecutter.name }}": entry} if environ.get(VARIABLE) else {}
