"""Carries calls to an Ollama server, with the context length that is to be had."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from llmrouter import BuildContext
from llmrouter.dialects import raw
from llmrouter.provider import ErrorRule, HTTPProvider
from llmrouter.types import Call, Card, Endpoint, Fields

from .config import OllamaSettings, endpoint
from .dialect import NAME

PATHS = {NAME: "/api/chat", "openai.embeddings": "/v1/embeddings", "openai.completions": "/v1/completions"}
ABILITIES = {"tools": "tools", "vision": "vision", "completion": "json_schema"}
"""What a server says a model is capable of → what the router asks of one."""

RULES = (
    ErrorRule(
        kind="context_length",
        text=re.compile(
            r"exceeds? (the )?(maximum )?(context|input) length|context length exceeded", re.IGNORECASE
        ),
    ),
    ErrorRule(
        kind="not_found",
        status=frozenset({400, 404}),
        text=re.compile(r"\bmodel\b.{0,200}\bnot found", re.IGNORECASE),
    ),
    ErrorRule(kind="overloaded", text=re.compile(r"server busy|maximum pending requests", re.IGNORECASE)),
    ErrorRule(
        kind="quota_exhausted",
        status=frozenset({429}),
        text=re.compile(r"\b(hourly|daily|weekly|monthly) usage limit", re.IGNORECASE),
    ),
)

_options = msgspec.json.Decoder(Fields)


class OllamaProvider(HTTPProvider):
    """A server of one's own, or Ollama's cloud with a key."""

    def __init__(self, config: OllamaSettings, context: BuildContext) -> None:
        self.config = config
        super().__init__(config, context, base_url=config.address(), paths=PATHS, rules=RULES)

    def bend(self, call: Call) -> Fields:
        """What the entry says of context and loading, where the request does not."""
        if call.wire.dialect != NAME:
            return call.fields
        fields = dict(call.fields)
        if (context := self.config.context_of(call.endpoint.model)) is not None:
            options = _options.decode(fields.get("options", msgspec.Raw(b"{}")))
            fields["options"] = raw({"num_ctx": raw(context), **options})
        if self.config.keep_alive is not None:
            fields.setdefault("keep_alive", raw(self.config.keep_alive))
        return fields

    async def models(self, account: str) -> Sequence[Endpoint]:
        """The models that the server has, and what each can do. Raises LLMRouterError."""
        said = await self.fetch("/api/tags", account)
        listed = said.get("models") if isinstance(said, Mapping) else None
        names = [
            one["model"] for one in listed or () if isinstance(one, Mapping) and isinstance(one.get("model"), str)
        ]
        shown = await asyncio.gather(*(self._show(name, account) for name in names))
        return [endpoint(self.config, name, _card(one)) for name, one in zip(names, shown, strict=True)]

    async def _show(self, model: str, account: str) -> Any:
        return await self.fetch("/api/show", account, msgspec.json.encode({"model": model}))


def _card(said: Any) -> Card:
    shown = said if isinstance(said, Mapping) else {}
    info = shown.get("model_info")
    lengths = [value for name, value in (info or {}).items() if name.endswith(".context_length")]
    capable = shown.get("capabilities")
    abilities = frozenset([ABILITIES[one] for one in capable if one in ABILITIES]) if capable else None
    return Card(abilities=abilities, window=lengths[0] if lengths and isinstance(lengths[0], int) else None)
