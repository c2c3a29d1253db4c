"""An upstream in good health that speaks OpenAI's Responses, and keeps nothing.

Shapes and order of events as in the API reference: the response object, its items, and the error object.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b
from typing import Any, ClassVar

import msgspec
from attrs import frozen

from .speaker import Speaker, Tool
from .upstream_line import Received
from .upstream_openai import error

__all__ = ["USAGE", "Responses"]

USAGE = {
    "input_tokens": 9,
    "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
    "output_tokens": 16,
    "output_tokens_details": {"reasoning_tokens": 0},
    "total_tokens": 25,
}

_TYPES: Mapping[int, tuple[str, str | None]] = {
    400: ("invalid_request_error", "invalid_value"),
    429: ("requests", "rate_limit_exceeded"),
}

_PREFIXES = {"message": "msg", "function_call": "fc", "reasoning": "rs"}

Event = Mapping[str, Any]


@frozen
class Responses(Speaker):
    """Responses; the model asked for is repeated. `thought` is a summary, sealed with `seal`."""

    thought: str = ""
    seal: str = "c2VhbGVk"

    dialect: ClassVar[str] = "openai.responses"
    opening: ClassVar[int] = 4
    mark: ClassVar[bytes] = b""

    def asks(self, model: str, stream: bool) -> dict[str, Any]:
        return {"model": model, "input": "Hello", "stream": stream}

    def whole(self, request: Received) -> dict[str, Any]:
        return self._response(request.json, "completed")

    def events(self, request: Received) -> Iterator[bytes]:
        for number, told in enumerate(self._events(request.json)):
            yield _event({**told, "sequence_number": number})

    def error(self, status: int = 500, message: str = "scripted") -> dict[str, Any]:
        return error(message, *_TYPES.get(status, ("server_error", None)))

    def broken(self) -> bytes:
        told = {"code": "server_error", "message": "scripted"}
        failed = {"id": "resp_", "object": "response", "status": "failed", "error": told, "output": []}
        return _event({"type": "response.failed", "sequence_number": 9, "response": failed})

    # ---- what is said

    def _response(self, asked: Mapping[str, Any], status: str) -> dict[str, Any]:
        done = status == "completed"
        return {
            "id": f"resp_{_tail(asked)}",
            "object": "response",
            "created_at": 1_700_000_000,
            "status": status,
            "error": None,
            "incomplete_details": None,
            "instructions": asked.get("instructions"),
            "model": asked["model"],
            "output": self._items(_tail(asked)) if done else [],
            "parallel_tool_calls": True,
            "previous_response_id": None,
            "store": asked.get("store", True),
            "temperature": 1.0,
            "tool_choice": asked.get("tool_choice") or "auto",
            "tools": asked.get("tools") or [],
            "usage": USAGE if done else None,
        }

    def _items(self, tail: str) -> list[dict[str, Any]]:
        items = [_thought(self.thought, self.seal)] if self.thought else []
        items += [_call(tool) for tool in self.tools] or [_message(self.text)]
        return [{"id": f"{_PREFIXES[item['type']]}_{tail}{at}", **item} for at, item in enumerate(items)]

    def _events(self, asked: Mapping[str, Any]) -> Iterator[Event]:
        begun = self._response(asked, "in_progress")
        yield {"type": "response.created", "response": begun}
        yield {"type": "response.in_progress", "response": begun}
        for index, item in enumerate(self._items(_tail(asked))):
            yield from _item(index, item)
        yield {"type": "response.completed", "response": self._response(asked, "completed")}


def _item(index: int, item: dict[str, Any]) -> Iterator[Event]:
    empty: Mapping[str, Any] = {
        "message": {"content": []},
        "function_call": {"arguments": ""},
        "reasoning": {"summary": []},
    }
    begun = {**item, **empty[item["type"]], "status": "in_progress"}
    yield {"type": "response.output_item.added", "output_index": index, "item": begun}
    at = {"item_id": item["id"], "output_index": index}
    telling = {"message": _text, "function_call": _arguments, "reasoning": _summary}
    yield from telling[item["type"]](at, item)
    yield {"type": "response.output_item.done", "output_index": index, "item": item}


def _text(at: Event, item: Mapping[str, Any]) -> Iterator[Event]:
    part = item["content"][0]
    at = {**at, "content_index": 0}
    yield {"type": "response.content_part.added", **at, "part": {**part, "text": ""}}
    for word in _words(part["text"]):
        yield {"type": "response.output_text.delta", **at, "delta": word, "logprobs": []}
    yield {"type": "response.output_text.done", **at, "text": part["text"], "logprobs": []}
    yield {"type": "response.content_part.done", **at, "part": part}


def _arguments(at: Event, item: Mapping[str, Any]) -> Iterator[Event]:
    arguments = item["arguments"]
    half = len(arguments) // 2
    for part in (arguments[:half], arguments[half:]):
        yield {"type": "response.function_call_arguments.delta", **at, "delta": part}
    yield {"type": "response.function_call_arguments.done", **at, "name": item["name"], "arguments": arguments}


def _summary(at: Event, item: Mapping[str, Any]) -> Iterator[Event]:
    part = item["summary"][0]
    at = {**at, "summary_index": 0}
    yield {"type": "response.reasoning_summary_part.added", **at, "part": {**part, "text": ""}}
    for word in _words(part["text"]):
        yield {"type": "response.reasoning_summary_text.delta", **at, "delta": word}
    yield {"type": "response.reasoning_summary_text.done", **at, "text": part["text"]}
    yield {"type": "response.reasoning_summary_part.done", **at, "part": part}


def _words(text: str) -> Sequence[str]:
    return [f" {word}" if number else word for number, word in enumerate(text.split(" "))]


def _message(text: str) -> dict[str, Any]:
    part = {"type": "output_text", "text": text, "annotations": []}
    return {"type": "message", "status": "completed", "role": "assistant", "content": [part]}


def _call(tool: Tool) -> dict[str, Any]:
    id, name, arguments = tool
    said = {"call_id": id, "name": name, "arguments": arguments}
    return {"type": "function_call", "status": "completed", **said}


def _thought(text: str, seal: str) -> dict[str, Any]:
    summary = [{"type": "summary_text", "text": text}]
    return {"type": "reasoning", "summary": summary, "encrypted_content": seal}


def _tail(asked: Mapping[str, Any]) -> str:
    """What makes the ids of an answer: the same for the same request."""
    return blake2b(msgspec.json.encode(asked), digest_size=12).hexdigest()


def _event(told: Event) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (told["type"].encode(), msgspec.json.encode(told))
