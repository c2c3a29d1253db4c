"""Carries calls to Vertex AI.

Models of other publishers (`publishers/anthropic/models/…:rawPredict`, in their own dialects) have their place
here, as one more dialect in `SPOKEN` with a path and a body of its own; they are not served yet.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from llmrouter import BuildContext
from llmrouter.dialects import parse
from llmrouter.provider import AccountSettings, Body, GoogleProvider, HTTPReply
from llmrouter.types import Call, Fields

from .config import VertexSettings, catalogue, is_key, service_account
from .tokens import Denied, Tokens, google

COUNTED = "generateContentRequest"
"""Where a count of the Gemini API holds a whole request; here its fields stand beside the contents."""


class VertexProvider(GoogleProvider):
    def __init__(self, config: VertexSettings, context: BuildContext) -> None:
        super().__init__(config, context, base_url=config.address(), catalogue=catalogue())
        accounts = [one for one in config.accounts if one.enabled]
        self._places = {one.id: config.place(one) for one in accounts}
        self.tokens = {
            one.id: Tokens(google(service_account(one)), context.clock) for one in accounts if not is_key(one)
        }

    def headers(self, account: AccountSettings) -> Mapping[str, str]:
        return {"x-goog-api-key": account.api_key.reveal().strip()} if account.api_key and is_key(account) else {}

    def place(self, account: str) -> str:
        return self._places[account]

    def bend(self, call: Call) -> Fields:
        fields = super().bend(call)
        if COUNTED not in fields:
            return fields
        return {name: value for name, value in parse(bytes(fields[COUNTED])).items() if name != "model"}

    def secrets(self) -> tuple[str, ...]:
        return (*super().secrets(), *(one.value for one in self.tokens.values() if one.value))

    async def send(self, call: Call) -> HTTPReply:
        """Carry a call with a token that is good. Raises TransportError."""
        tokens = self.tokens.get(call.account.id)
        if tokens is None:
            return await super().send(call)
        try:
            token = await tokens.get()
        except Denied as denied:
            return _refusal(str(denied))
        headers = {**call.headers, "authorization": f"Bearer {token}"}
        return await super().send(msgspec.structs.replace(call, headers=headers))


class Said(Body):
    """The body of an answer that no upstream gave."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def __aiter__(self) -> Said:
        return self

    async def __anext__(self) -> bytes:
        data, self._data = self._data, b""
        if not data:
            raise StopAsyncIteration
        return data

    def close(self) -> None:
        self._data = b""


def _refusal(message: str) -> HTTPReply:
    """What an upstream would have said, had there been a token to ask it with."""
    error = {"code": 401, "message": message, "status": "UNAUTHENTICATED"}
    return HTTPReply(401, {"content-type": "application/json"}, Said(msgspec.json.encode({"error": error})))
