"""An upstream in good health that speaks Ollama's native chat: lines of JSON, as in its API documentation."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, ClassVar

from attrs import frozen

from .speaker import Speaker
from .upstream_line import Received

__all__ = ["NativeChat"]


@frozen
class NativeChat(Speaker):
    """Says a text; the model asked for is repeated."""

    dialect: ClassVar[str] = "ollama.chat"
    media: ClassVar[Mapping[str, str]] = MappingProxyType({"content-type": "application/x-ndjson"})
    opening: ClassVar[int] = 0
    mark: ClassVar[bytes] = b""
    alive: ClassVar[bytes] = b"\n"

    def asks(self, model: str, stream: bool) -> dict[str, Any]:
        return {"model": model, "messages": [{"role": "user", "content": "Hello"}], "stream": stream}

    def whole(self, request: Received) -> dict[str, Any]:
        return self._line(request, self.text, True)

    def events(self, request: Received) -> Iterator[bytes]:
        for number, word in enumerate(self.text.split(" ")):
            yield self._event(request, f" {word}" if number else word, False)
        yield self._event(request, "", True)

    def error(self, status: int = 500, message: str = "scripted") -> dict[str, Any]:
        return {"error": message}

    def broken(self) -> bytes:
        return json.dumps(self.error()).encode() + b"\n"

    def _event(self, request: Received, text: str, done: bool) -> bytes:
        return json.dumps(self._line(request, text, done)).encode() + b"\n"

    def _line(self, request: Received, text: str, done: bool) -> dict[str, Any]:
        last = {"done_reason": "stop", "prompt_eval_count": 9, "eval_count": 16} if done else {}
        message = {"role": "assistant", "content": text}
        model = request.json.get("model", "")
        return {"model": model, "created_at": "2026-11-20T10:00:00Z", "message": message, "done": done, **last}
