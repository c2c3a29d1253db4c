"""An upstream that answers as OpenAI would, as far as the SDK's everyday calls go."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Mapping
from typing import Any

from llmrouter.testing.upstream import Received, Script
from llmrouter.testing.upstream_openai import chat, error
from llmrouter.testing.upstream_scripts import DONE, JSON, answer, event, stream

VECTORS = [[0.25, -0.5, 1.0], [0.125, 0.0, -1.0]]
PERSON: dict[str, Any] = {"name": "Ada", "born": 1815}
PLACES = [("call_1", "weather", '{"place": "Oslo"}'), ("call_2", "weather", '{"place": "Rome"}')]


def openai(request: Received) -> Script:
    """The answer that fits the request."""
    path = request.path.rpartition("/v1")[2]
    if path == "/embeddings":
        return _embeddings(request.json)
    if path == "/completions":
        return _completion(request.json)
    return _chat(request.json)


def refusing(status: int, headers: Mapping[str, str] | None = None) -> Script:
    return answer(status, {**JSON, **(headers or {})}, error(f"scripted {status}", "scripted", f"code_{status}"))


def _chat(asked: Mapping[str, Any]) -> Script:
    if asked.get("response_format", {}).get("type") == "json_schema":
        return chat(json.dumps(PERSON))
    results = [message["content"] for message in asked["messages"] if message["role"] == "tool"]
    if results:
        return chat(" and ".join(results))
    if asked.get("tools"):
        return chat(tools=PLACES[: 1 if asked.get("parallel_tool_calls") is False else 2])
    parts = asked["messages"][-1]["content"]
    if isinstance(parts, list):
        return chat("saw " + " ".join(part["type"] for part in parts))
    return chat()


def _embeddings(asked: Mapping[str, Any]) -> Script:
    inputs = asked["input"] if isinstance(asked["input"], list) else [asked["input"]]
    vectors = VECTORS[: len(inputs)]
    coded = asked.get("encoding_format") == "base64"
    data = [
        {"object": "embedding", "index": index, "embedding": _base64(vector) if coded else vector}
        for index, vector in enumerate(vectors)
    ]
    usage = {"prompt_tokens": 4, "total_tokens": 4}
    return answer(200, JSON, {"object": "list", "data": data, "model": asked["model"], "usage": usage})


def _base64(vector: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def _completion(asked: Mapping[str, Any]) -> Script:
    base = {"id": "cmpl-1", "object": "text_completion", "created": 1_700_000_000, "model": asked["model"]}

    def choice(text: str, finish: str | None) -> dict[str, Any]:
        return {"text": text, "index": 0, "logprobs": None, "finish_reason": finish}

    if asked.get("stream"):
        parts = [("Once", None), (" upon", None), (" a time", "stop")]
        return stream([*(event({**base, "choices": [choice(*part)]}) for part in parts), DONE])
    usage = {"prompt_tokens": 1, "completion_tokens": 4, "total_tokens": 5}
    return answer(200, JSON, {**base, "choices": [choice("Once upon a time", "stop")], "usage": usage})
