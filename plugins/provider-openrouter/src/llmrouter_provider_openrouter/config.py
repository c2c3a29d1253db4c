"""What an entry of `providers` may say, and the endpoints that follow from it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any, Literal
from urllib.parse import urlsplit

from attrs import frozen

from llmrouter.provider import ProviderSettings, accounts_of, base_url_of, card_of
from llmrouter.types import ANY_MODEL, Card, Endpoint, Op, Price

BASE_URL = "https://openrouter.ai/api/v1"
VARIABLE = "OPENROUTER_API_KEY"
PATHS: Mapping[str, str] = {
    "openai.chat": "/chat/completions",
    "openai.responses": "/responses",
    "anthropic.messages": "/messages",
    "openai.embeddings": "/embeddings",
    "rerank": "/rerank",
}
"""What OpenRouter speaks, best first. It does not say which model is for text and which for embeddings."""
TEXT = ("openai.chat", "openai.responses", "anthropic.messages")
OPS: frozenset[Op] = frozenset({"chat", "embed", "rerank"})
"""It counts no tokens."""
FREE = ":free"
"""How the ids of models end that cost nothing."""


@frozen(kw_only=True)
class OpenRouterSettings(ProviderSettings):
    """Raises ValueError for an entry without a key."""

    mode: Literal["credits", "byok"] = "credits"
    referer: str = ""
    title: str = ""

    def __attrs_post_init__(self) -> None:
        self.address()
        missing = [one.id for one in self.accounts if one.enabled and not one.api_key]
        if missing and self.enabled:
            raise ValueError(f"OpenRouter needs a key: set `api_key` ({', '.join(missing)})")

    def address(self) -> str:
        """Scheme, host and prefix of the upstream, with its version. A bare host has its site at the root."""
        text = self.base_url or BASE_URL
        return base_url_of(text if urlsplit(text).path.strip("/") else f"{text.rstrip('/')}/api")


def schema() -> Mapping[str, Any]:
    """The keys of an entry, as JSON Schema."""
    text = resources.files(__package__).joinpath("schema.json").read_text("utf-8")
    fragment: Mapping[str, Any] = json.loads(text)
    return fragment


def endpoints(config: ProviderSettings) -> Sequence[Endpoint]:
    """The models of the configuration, and one endpoint for every other id; what else there is, is listed."""
    accounts = accounts_of(config)
    if not accounts:
        return []
    return [
        Endpoint(
            provider=config.name,
            model=model,
            dialects=tuple(PATHS),
            accounts=accounts,
            card=card_of(known(model), config.models.get(model)),
            ops=OPS,
        )
        for model in dict.fromkeys([*config.models, ANY_MODEL])
    ]


def known(model: str) -> Card:
    """What the id of a model says of it."""
    return Card(price=Price(input=0.0, output=0.0)) if model.endswith(FREE) else Card()


def suggest(environ: Mapping[str, str]) -> Mapping[str, Any]:
    """An entry where a key stands in the environment."""
    return {"openrouter": {"plugin": "openrouter", "api_key": f"${{{VARIABLE}}}"}} if environ.get(VARIABLE) else {}
