"""An upstream in good health that speaks Anthropic's Messages, and counts tokens.

Shapes as in the API reference: the message object, the events of its stream, and the error object.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from attrs import frozen

from llmrouter.types import Op

from .speaker import Speaker, Tool
from .upstream_line import Received
from .upstream_scripts import event

__all__ = ["SIGNATURE", "TOKENS", "USAGE", "Count", "Messages"]

USAGE = {"input_tokens": 9, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 16}
TOKENS = 9
SIGNATURE = "c2lnbmVk"

_TYPES: Mapping[int, str] = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    529: "overloaded_error",
}


class _Anthropic(Speaker):
    dialect: ClassVar[str] = "anthropic.messages"

    def error(self, status: int = 500, message: str = "scripted") -> dict[str, Any]:
        error = {"type": _TYPES.get(status, "api_error"), "message": message}
        return {"type": "error", "error": error, "request_id": "req_scripted"}

    def broken(self) -> bytes:
        return _named(self.error())


@frozen
class Messages(_Anthropic):
    """Messages; the model asked for is repeated. A `thought` comes signed, where the request lets it think."""

    thought: str = ""

    mark: ClassVar[bytes] = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
    opening: ClassVar[int] = 2
    alive: ClassVar[bytes] = b'event: ping\ndata: {"type":"ping"}\n\n'

    def asks(self, model: str, stream: bool) -> dict[str, Any]:
        messages = [{"role": "user", "content": "Hello"}]
        return {"model": model, "max_tokens": 64, "messages": messages, "stream": stream}

    def whole(self, request: Received) -> dict[str, Any]:
        if request.path.partition("?")[0].endswith("/count_tokens"):
            return {"input_tokens": TOKENS}
        blocks = [block | {_FILLED[block["type"]]: value} for block, _, value in self._blocks(request)]
        ended = {"content": blocks, "stop_reason": self._stop_reason, "usage": USAGE}
        return _message(request.json["model"]) | ended

    def events(self, request: Received) -> Iterator[bytes]:
        begun: dict[str, Any] = {"content": [], "stop_reason": None, "usage": USAGE | {"output_tokens": 1}}
        yield _named({"type": "message_start", "message": _message(request.json["model"]) | begun})
        for index, (block, deltas, _) in enumerate(self._blocks(request)):
            yield _named({"type": "content_block_start", "index": index, "content_block": block})
            for delta in deltas:
                yield _named({"type": "content_block_delta", "index": index, "delta": delta})
            yield _named({"type": "content_block_stop", "index": index})
        delta = {"stop_reason": self._stop_reason, "stop_sequence": None}
        yield _named({"type": "message_delta", "delta": delta, "usage": USAGE})
        yield self.mark

    @property
    def _stop_reason(self) -> str:
        return "tool_use" if self.tools else "end_turn"

    def _blocks(self, request: Received) -> Iterator[tuple[dict[str, Any], list[dict[str, Any]], Any]]:
        """Each block as it begins, its deltas, and what it holds in the end."""
        if self.thought and "thinking" in request.json:
            empty = {"type": "thinking", "thinking": "", "signature": ""}
            signed = {"type": "signature_delta", "signature": SIGNATURE}
            thinking = {"type": "thinking_delta", "thinking": self.thought}
            yield empty | ({} if request.stream else {"signature": SIGNATURE}), [thinking, signed], self.thought
        for tool in self.tools:
            yield _tool(tool)
        if not self.tools:
            words = [f" {word}" if number else word for number, word in enumerate(self.text.split(" "))]
            deltas = [{"type": "text_delta", "text": word} for word in words]
            yield {"type": "text", "text": ""}, deltas, self.text


@frozen
class Count(_Anthropic):
    """The number of tokens of any request. It never streams."""

    op: ClassVar[Op] = "count"

    def asks(self, model: str, stream: bool) -> dict[str, Any]:
        return {"model": model, "messages": [{"role": "user", "content": "Hello"}]}

    def whole(self, request: Received) -> dict[str, Any]:
        return {"input_tokens": TOKENS}

    def events(self, request: Received) -> Iterator[bytes]:
        raise AssertionError("a count does not stream")


_FILLED: Mapping[str, str] = {"thinking": "thinking", "text": "text", "tool_use": "input"}
"""The key of a block that its deltas fill."""


def _tool(tool: Tool) -> tuple[dict[str, Any], list[dict[str, Any]], Any]:
    id, name, arguments = tool
    half = len(arguments) // 2
    deltas = [{"type": "input_json_delta", "partial_json": part} for part in (arguments[:half], arguments[half:])]
    return {"type": "tool_use", "id": id, "name": name, "input": {}}, deltas, json.loads(arguments)


def _message(model: str) -> dict[str, Any]:
    base = {"id": "msg_scripted", "type": "message", "role": "assistant", "model": model}
    return base | {"stop_sequence": None}


def _named(data: Mapping[str, Any]) -> bytes:
    return f"event: {data['type']}\n".encode() + event(data)
