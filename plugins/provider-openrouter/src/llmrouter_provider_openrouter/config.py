"""What an entry of `providers` may say, and the endpoints that follow from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal
from urllib.parse import urlsplit

from attrs import frozen

from llmrouter.provider import ProviderSettings, base_url_of, endpoints_of, read_data, require_keys
from llmrouter.types import Card, Endpoint, Op, Price

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
KEEPS = frozenset({"openai.chat"})
"""Models of several vendors want the signed pieces of their thoughts back: OpenRouter hands them on."""
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
        require_keys(self, "OpenRouter")

    def address(self) -> str:
        """Scheme, host and prefix of the upstream, with its version. A bare host has its site at the root."""
        text = self.base_url or BASE_URL
        return base_url_of(text if urlsplit(text).path.strip("/") else f"{text.rstrip('/')}/api")


def schema() -> Mapping[str, Any]:
    """The keys of an entry, as JSON Schema."""
    fragment: Mapping[str, Any] = read_data(__package__, "schema.json")
    return fragment


def endpoints(config: ProviderSettings) -> Sequence[Endpoint]:
    """The models of the configuration, and one endpoint for every other id; what else there is, is listed."""
    return endpoints_of(config, (), dialects=lambda model: tuple(PATHS), card=known, ops=OPS)


def known(model: str) -> Card:
    """What the id of a model says of it."""
    return Card(price=Price(input=0.0, output=0.0) if model.endswith(FREE) else None, keeps=KEEPS)


def suggest(environ: Mapping[str, str]) -> Mapping[str, Any]:
    """An entry where a key stands in the environment."""
    return {"openrouter": {"plugin": "openrouter", "api_key": f"${{{VARIABLE}}}"}} if environ.get(VARIABLE) else {}
