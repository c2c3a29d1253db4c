"""Which recordings belong together: endpoints of one wire family, what serves them, and who is asked for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from llmrouter.types import Op

from .deviations import profile_of

if TYPE_CHECKING:
    from .library import Exchange

KEY = "the-router's-own-key"


@frozen(kw_only=True)
class Surface:
    """One endpoint of a manifest. `path` is where the router serves it; "{model}" in it is the name asked for."""

    dialect: str
    op: Op
    path: str
    suffix: str  # how the recorded path ends; "{model}" stands for any text


@frozen(kw_only=True)
class Family:
    """`surfaces` by the manifest's names of endpoints; `listed` is the name of lists of models, if they are ours.

    `entry` is the provider entry of the configuration that an exchange is replayed through, given the address of
    the upstream. `foreign` says why a provider's endpoint of the same name is another family's.
    """

    name: str
    surfaces: Mapping[str, Surface]
    entry: Callable[[Exchange, str], Mapping[str, Any]]
    listed: str = ""
    foreign: Mapping[tuple[str, str], str] = field(factory=dict)
    only: frozenset[str] = frozenset()  # providers; empty: whoever has such an endpoint


def _openai_entry(exchange: Exchange, address: str) -> Mapping[str, Any]:
    if exchange.provider == "openrouter":
        return {"plugin": "openrouter", "base_url": f"{address}/v1", "api_key": KEY, "probe": None}
    profile = profile_of(exchange.provider)
    return {"plugin": "openai", "profile": profile, "base_url": f"{address}/v1", "api_key": KEY}


OPENAI = Family(
    name="openai",
    surfaces={
        "chat.completions": Surface(
            dialect="openai.chat", op="chat", path="/v1/chat/completions", suffix="/chat/completions"
        ),
        "completions": Surface(
            dialect="openai.completions", op="chat", path="/v1/completions", suffix="/completions"
        ),
        "embeddings": Surface(dialect="openai.embeddings", op="embed", path="/v1/embeddings", suffix="/embeddings"),
    },
    entry=_openai_entry,
    listed="models",
    foreign={
        ("anthropic", "models"): "Anthropic's own list",
        ("cohere", "embeddings"): "Cohere's own embeddings",
        ("gemini", "models"): "Gemini's own list",
        ("huggingface", "models"): "a page of the hub, not the inference API",
        ("ollama", "embeddings"): "Ollama's own embeddings",
        ("voyage", "embeddings"): "Voyage's own words",
        ("writer", "completions"): "Writer's own stream",
    },
)


def _gemini_entry(exchange: Exchange, address: str) -> Mapping[str, Any]:
    where = {"project": "p", "location": "l"} if exchange.provider == "vertex" else {}
    return {"plugin": exchange.provider, "base_url": f"{address}/v1beta", "api_key": KEY, **where}


def _gemini(verb: str, dialect: str, op: Op, query: str = "") -> Surface:
    path = f"/models/{{model}}:{verb}"
    return Surface(dialect=dialect, op=op, path=f"/v1beta{path}{query}", suffix=path)


GEMINI = Family(
    name="gemini",
    surfaces={
        "generateContent": _gemini("generateContent", "gemini.generate", "chat"),
        "streamGenerateContent": _gemini("streamGenerateContent", "gemini.generate", "chat", "?alt=sse"),
        "countTokens": _gemini("countTokens", "gemini.generate", "count"),
        "batchEmbedContents": _gemini("batchEmbedContents", "gemini.embed", "embed"),
    },
    entry=_gemini_entry,
    listed="models",
    only=frozenset({"gemini", "vertex"}),
)


def _rerank_entry(exchange: Exchange, address: str) -> Mapping[str, Any]:
    if exchange.provider != "voyage":
        return _openai_entry(exchange, address)
    return {"plugin": "voyage", "base_url": f"{address}/v1", "api_key": KEY}


RERANK = Family(
    name="rerank",
    surfaces={
        "rerank": Surface(dialect="rerank", op="rerank", path="/v1/rerank", suffix="/rerank"),
        "embeddings": Surface(dialect="openai.embeddings", op="embed", path="/v1/embeddings", suffix="/embeddings"),
    },
    entry=_rerank_entry,
    only=frozenset({"cohere", "llamacpp", "openrouter", "together", "voyage"}),
    foreign={
        ("cohere", "embeddings"): "Cohere's own embeddings",
        ("llamacpp", "embeddings"): "OpenAI's words",
        ("openrouter", "embeddings"): "OpenAI's words",
    },
)
"""Rankings of everybody, and the embeddings of the one vendor that has both and words of its own for them."""


OLLAMA = Family(
    name="ollama",
    surfaces={
        "api.chat": Surface(dialect="ollama.chat", op="chat", path="/v1/chat/completions", suffix="/api/chat")
    },
    entry=lambda exchange, address: {"plugin": "ollama", "base_url": address, "api_key": KEY},
)
"""Ollama's native chat. No client speaks it to the router: it is asked in OpenAI's words."""


def _responses_entry(exchange: Exchange, address: str) -> Mapping[str, Any]:
    if exchange.provider == "openrouter":
        return _openai_entry(exchange, address)
    profile = exchange.provider if exchange.provider in ("deepseek", "xai") else "openai"
    return {"plugin": "openai", "profile": profile, "base_url": f"{address}/v1", "api_key": KEY}


RESPONSES = Family(
    name="responses",
    surfaces={
        "responses": Surface(dialect="openai.responses", op="chat", path="/v1/responses", suffix="/responses")
    },
    entry=_responses_entry,
)
COUNTS = Family(
    name="responses' counts",
    surfaces={
        "responses": Surface(
            dialect="openai.responses",
            op="count",
            path="/v1/responses/input_tokens",
            suffix="/responses/input_tokens",
        )
    },
    entry=_responses_entry,
)


def _anthropic_entry(exchange: Exchange, address: str) -> Mapping[str, Any]:
    return {"plugin": "anthropic", "base_url": address, "api_key": KEY}


def _messages(suffix: str) -> Surface:
    return Surface(dialect="anthropic.messages", op="chat", path="/v1/messages", suffix=suffix)


ANTHROPIC = Family(
    name="anthropic",
    surfaces={
        "messages": _messages("/messages"),
        "messages.count_tokens": Surface(
            dialect="anthropic.messages", op="count", path="/v1/messages/count_tokens", suffix="/count_tokens"
        ),
    },
    entry=_anthropic_entry,
    listed="models",
    only=frozenset({"anthropic"}),
)

MESSAGES_ON_VERTEX = Family(
    name="vertex messages",
    surfaces={"messages": _messages("Predict")},
    entry=_anthropic_entry,
    only=frozenset({"vertex"}),
)
"""Google's cloud serves Messages under another path and with the model in it: the answers are the same."""
