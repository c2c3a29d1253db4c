"""What an entry of `providers` may say, and the endpoints that follow from it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from attrs import evolve, frozen

from llmrouter.provider import ProviderSettings, accounts_of, base_url_of, card_of, read_data
from llmrouter.types import ANY_MODEL, Card, Endpoint

from .dialect import NAME

BASE_URL = "http://localhost:11434"
DIALECTS = (NAME, "openai.embeddings", "openai.completions")
"""Chat is not spoken as OpenAI's: that way no context length can be said."""

_API = re.compile(r"/(?:v1|api)$")


@frozen(kw_only=True)
class OllamaSettings(ProviderSettings):
    """`context_length` is in tokens. Raises ValueError for an address that is none."""

    context_length: int | None = None
    keep_alive: str | None = None

    def __attrs_post_init__(self) -> None:
        self.address()

    def address(self) -> str:
        """Scheme, host and prefix of the server, without the path of one of its two APIs."""
        return _API.sub("", base_url_of(self.base_url or BASE_URL, None))

    def context_of(self, model: str) -> int | None:
        """Tokens of context that a model is loaded with, if anybody said."""
        said = self.models.get(model)
        return (said.context_window if said else None) or self.context_length


def schema() -> Mapping[str, Any]:
    """The keys of an entry, as JSON Schema."""
    fragment: Mapping[str, Any] = read_data(__package__, "schema.json")
    return fragment


def endpoints(config: ProviderSettings) -> Sequence[Endpoint]:
    """The models of the configuration, and one endpoint for every other id."""
    assert isinstance(config, OllamaSettings)
    if not accounts_of(config):
        return []
    return [endpoint(config, model) for model in dict.fromkeys([*config.models, ANY_MODEL])]


def endpoint(config: OllamaSettings, model: str, known: Card | None = None) -> Endpoint:
    """A model. Its window is what it is loaded with, never more than it was trained for.

    Where nobody said, it is unknown: a server's default is far less than what the model's own card promises.
    """
    known = known or Card()
    context = config.context_of(model)
    window = min(context, known.window) if context and known.window else context
    return Endpoint(
        provider=config.name,
        model=model,
        dialects=DIALECTS,
        accounts=accounts_of(config),
        card=evolve(card_of(known, config.models.get(model)), window=window),
    )


def suggest(environ: Mapping[str, str]) -> Mapping[str, Any]:
    """An entry, where an address stands in the environment: a key alone does not say that a server runs here."""
    if not environ.get("OLLAMA_BASE_URL"):
        return {}
    key = {"api_key": "${OLLAMA_API_KEY}"} if environ.get("OLLAMA_API_KEY") else {}
    return {"ollama": {"plugin": "ollama", "base_url": "${OLLAMA_BASE_URL}", **key}}
