"""An upstream in good health that speaks OpenAI's chat and embeddings.

Shapes as in the OpenAI API reference: the chat completion object, its chunks, and the error object.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from attrs import frozen

from llmrouter.types import Op

from .speaker import TEXT, Speaker, Tool
from .upstream_line import Line, Received, Script
from .upstream_scripts import DONE, JSON, answer, event

__all__ = ["TEXT", "USAGE", "Chat", "Embeddings", "Tool", "chat", "chunks", "completion", "embeddings", "error"]

USAGE = {"prompt_tokens": 9, "completion_tokens": 16, "total_tokens": 25}

_TYPES: Mapping[int, tuple[str, str | None]] = {
    400: ("invalid_request_error", "invalid_value"),
    429: ("requests", "rate_limit_exceeded"),
}


class _OpenAI(Speaker):
    def error(self, status: int = 500, message: str = "scripted") -> dict[str, Any]:
        return error(message, *_TYPES.get(status, ("server_error", None)))


@frozen
class Chat(_OpenAI):
    """Chat completions; the model asked for is repeated."""

    dialect: ClassVar[str] = "openai.chat"

    def asks(self, model: str, stream: bool) -> dict[str, Any]:
        return {"model": model, "messages": [{"role": "user", "content": "Hello"}], "stream": stream}

    def whole(self, request: Received) -> dict[str, Any]:
        return completion(request.json["model"], self.text, self.tools)

    def events(self, request: Received) -> Iterator[bytes]:
        return chunks(request.json, self.text, self.tools)


@frozen
class Embeddings(_OpenAI):
    """Embeddings: for each text its length and a half, as floats. They never stream."""

    dialect: ClassVar[str] = "openai.embeddings"
    op: ClassVar[Op] = "embed"

    def asks(self, model: str, stream: bool) -> dict[str, Any]:
        return {"model": model, "input": ["one", "three"]}

    def whole(self, request: Received) -> dict[str, Any]:
        asked = request.json
        texts = [asked["input"]] if isinstance(asked["input"], str) else asked["input"]
        return _embedded(asked["model"], [[float(len(text)), 0.5] for text in texts])

    def events(self, request: Received) -> Iterator[bytes]:
        raise AssertionError("embeddings do not stream")


def chat(text: str = TEXT, tools: Sequence[Tool] = (), delay: float = 0.0) -> Script:
    """Answers chat requests, plain or streamed as asked; the model asked for is repeated.

    `delay` is the pause between the events of a stream, in seconds.
    """
    return Chat(text, tools, delay).answer()


def completion(model: str, text: str = TEXT, tools: Sequence[Tool] = ()) -> dict[str, Any]:
    """A whole chat completion."""
    message: dict[str, Any] = {"role": "assistant", "content": None if tools else text, "refusal": None}
    if tools:
        message["tool_calls"] = [_call(*tool) for tool in tools]
    choice = {"index": 0, "message": message, "finish_reason": _finish(tools), "logprobs": None}
    base = _base(model, "chat.completion")
    return {**base, "choices": [choice], "usage": USAGE}


def chunks(asked: Mapping[str, Any], text: str = TEXT, tools: Sequence[Tool] = ()) -> Iterator[bytes]:
    """The events of a streamed chat completion; usage comes last, where it was asked for."""
    base = _base(asked["model"], "chat.completion.chunk")
    usage = bool((asked.get("stream_options") or {}).get("include_usage"))
    for delta, finish in [*_deltas(text, tools), ({}, _finish(tools))]:
        choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}
        yield event({**base, "choices": [choice], **({"usage": None} if usage else {})})
    if usage:
        yield event({**base, "choices": [], "usage": USAGE})
    yield DONE


def error(message: str = "scripted", type_: str = "server_error", code: str | None = None) -> dict[str, Any]:
    """The error object."""
    return {"error": {"message": message, "type": type_, "param": None, "code": code}}


def embeddings(vectors: Sequence[Sequence[float]]) -> Script:
    """Answers embedding requests with these vectors, as floats."""

    async def script(line: Line) -> None:
        await answer(200, JSON, _embedded(line.request.json["model"], vectors))(line)

    return script


def _embedded(model: str, vectors: Sequence[Sequence[float]]) -> dict[str, Any]:
    data = [{"object": "embedding", "index": i, "embedding": list(vector)} for i, vector in enumerate(vectors)]
    return {"object": "list", "data": data, "model": model, "usage": {"prompt_tokens": 4, "total_tokens": 4}}


def _base(model: str, kind: str) -> dict[str, Any]:
    return {"id": "chatcmpl-scripted", "object": kind, "created": 1_700_000_000, "model": model}


def _finish(tools: Sequence[Tool]) -> str:
    return "tool_calls" if tools else "stop"


def _call(id: str, name: str, arguments: str) -> dict[str, Any]:
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


def _deltas(text: str, tools: Sequence[Tool]) -> Iterator[tuple[dict[str, Any], None]]:
    yield {"role": "assistant", "content": None if tools else ""}, None
    for index, (id, name, arguments) in enumerate(tools):
        yield {"tool_calls": [{"index": index, **_call(id, name, "")}]}, None
        half = len(arguments) // 2
        for part in (arguments[:half], arguments[half:]):
            yield {"tool_calls": [{"index": index, "function": {"arguments": part}}]}, None
    for number, word in enumerate([] if tools else text.split(" ")):
        yield {"content": f" {word}" if number else word}, None
