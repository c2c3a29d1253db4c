"""An upstream in good health that speaks `generateContent`, and insists on signatures where it is told to.

Shapes as in the API reference of generateContent, countTokens and batchEmbedContents, and google.rpc.Status.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import msgspec
from attrs import frozen

from llmrouter.types import Op

from .speaker import Speaker
from .upstream_line import Line, Received, Script
from .upstream_scripts import JSON, answer, event

USAGE = {"promptTokenCount": 9, "candidatesTokenCount": 16, "totalTokenCount": 25}
SIGNATURE = "c2lnbmVkIGJ5IGdvb2dsZQ=="
"""What stands beside every first call of an answer."""

_STATUSES: Mapping[int, str] = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


class _Google(Speaker):
    def error(self, status: int = 500, message: str = "scripted") -> dict[str, Any]:
        return {"error": {"code": status, "message": message, "status": _STATUSES.get(status, "INTERNAL")}}


@frozen
class Generate(_Google):
    """Contents; the model that the path names is repeated."""

    dialect: ClassVar[str] = "gemini.generate"
    opening: ClassVar[int] = 0
    mark: ClassVar[bytes] = b""

    def asks(self, model: str, stream: bool) -> dict[str, Any]:
        return {"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]}

    def streams(self, request: Received) -> bool:
        return ":streamGenerateContent" in request.path

    def whole(self, request: Received) -> dict[str, Any]:
        parts = _calls(self.tools) if self.tools else [{"text": self.text}]
        return _response(model_of(request), parts, "STOP")

    def events(self, request: Received) -> Iterator[bytes]:
        model = model_of(request)
        for part in _calls(self.tools):
            yield event(_response(model, [part]))
        for number, word in enumerate([] if self.tools else self.text.split(" ")):
            yield event(_response(model, [{"text": f" {word}" if number else word}]))
        yield event(_response(model, [{"text": ""}], "STOP"))


@frozen
class Embed(_Google):
    """Embeddings: for each text its length and a half. They never stream."""

    dialect: ClassVar[str] = "gemini.embed"
    op: ClassVar[Op] = "embed"

    def asks(self, model: str, stream: bool) -> dict[str, Any]:
        return {"requests": [{"content": {"parts": [{"text": text}]}} for text in ("one", "three")]}

    def streams(self, request: Received) -> bool:
        return False

    def whole(self, request: Received) -> dict[str, Any]:
        asked = request.json
        if "requests" not in asked:
            return {"embedding": _embedded(asked)}
        return {"embeddings": [_embedded(one) for one in asked["requests"]]}

    def events(self, request: Received) -> Iterator[bytes]:
        raise AssertionError("embeddings do not stream")


def counting(tokens: int = 7) -> Script:
    """Answers every count."""
    return answer(
        200, JSON, {"totalTokens": tokens, "promptTokensDetails": [{"modality": "TEXT", "tokenCount": tokens}]}
    )


def insisting(good: Speaker) -> Script:
    """Refuses turns whose first call has no signature, as the newer models do; else answers well."""

    async def script(line: Line) -> None:
        lost = [part for part in _first_calls(line.request.json) if not part.get("thoughtSignature")]
        message = "Function call is missing a thought_signature in functionCall parts."
        await (good.refuse(400, message) if lost else good.answer())(line)

    return script


def model_of(request: Received) -> str:
    """The model that a path names."""
    return request.path.rpartition("/models/")[2].partition(":")[0]


def _first_calls(asked: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for content in asked.get("contents", ()):
        yield from [part for part in content["parts"] if "functionCall" in part][:1]


def _response(model: str, parts: Sequence[Mapping[str, Any]], reason: str = "") -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"parts": parts, "role": "model"}, "index": 0}
    if reason:
        candidate["finishReason"] = reason
    return {"candidates": [candidate], "usageMetadata": USAGE, "modelVersion": model, "responseId": "scripted"}


def _calls(tools: Sequence[tuple[str, str, str]]) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = [
        {"functionCall": {"id": id, "name": name, "args": msgspec.json.decode(arguments)}}
        for id, name, arguments in tools
    ]
    for part in parts[:1]:
        part["thoughtSignature"] = SIGNATURE
    return parts


def _embedded(request: Mapping[str, Any]) -> dict[str, Any]:
    text = "".join(part.get("text", "") for part in request["content"]["parts"])
    return {"values": [float(len(text)), 0.5]}
