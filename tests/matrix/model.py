"""A scripted model behind every upstream wire, whose answer tells what reached it."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from typing import Any

from attrs import frozen

from llmrouter.testing.speaker import TEXT, Tool
from llmrouter.testing.upstream import Received, Script
from llmrouter.testing.upstream_openai import error
from llmrouter.testing.upstream_scripts import JSON, answer
from tests.clients.wires import WIRES, Asked

PERSON = {"name": "Ada", "born": 1815}
CALLS: Sequence[Tool] = (("call_one", "weather", '{"place": "Oslo"}'), ("call_two", "weather", '{"place": "Rome"}'))
LONG = " ".join(f"word{number}" for number in range(1500))
LIMITED, TOO_LONG = "too many", "at length"
"""What a user says to be refused, and to get a long answer."""


@frozen
class More:
    """What a body asks for beside text and tools: a schema, and the pictures it shows, by their bytes."""

    schema: Mapping[str, Any] | None
    pictures: Sequence[str]


def scripted(request: Received) -> Script:
    """Speaks every wire, by the path that is asked."""
    for path, wire in WIRES.items():
        if path in request.path:
            asked = wire.read(request.json)
            if LIMITED in asked.text:
                return wire.speaker().refuse(429, "slow down", {**JSON, "retry-after": "7"})
            return wire.speaker(*said(asked, _MORE[path](request.json))).answer()
    return answer(404, JSON, error(f"nothing is served at {request.path}"))


def said(asked: Asked, more: More) -> tuple[str, Sequence[Tool]]:
    """The answer: a text, or calls."""
    if asked.outputs:
        return "told " + " and ".join(asked.outputs), ()
    if asked.tools:
        return "", CALLS if "both" in asked.text else CALLS[:1]
    if more.schema is not None:
        return (json.dumps(PERSON) if "born" in json.dumps(more.schema) else "a schema of something else"), ()
    if more.pictures:
        return "saw " + " ".join(more.pictures), ()
    return (LONG if TOO_LONG in asked.text else TEXT), ()


def mark(data: str) -> str:
    """A picture, by its base64 of either alphabet, as the model names it."""
    return sha256(urlsafe_b64decode(data.replace("+", "-").replace("/", "_"))).hexdigest()[:12]


def _chat(body: Mapping[str, Any]) -> More:
    format = body.get("response_format") or {}
    urls = [part["image_url"]["url"] for part in _parts(body["messages"]) if part["type"] == "image_url"]
    return More((format.get("json_schema") or {}).get("schema"), [mark(_data(url)) for url in urls])


def _responses(body: Mapping[str, Any]) -> More:
    items = body["input"] if isinstance(body["input"], list) else []
    urls = [part["image_url"] for part in _parts(items) if part.get("type") == "input_image"]
    format = (body.get("text") or {}).get("format") or {}
    return More(format.get("schema"), [mark(_data(url)) for url in urls])


def _messages(body: Mapping[str, Any]) -> More:
    format = (body.get("output_config") or {}).get("format") or {}
    blocks = [block for block in _parts(body["messages"]) if block["type"] == "image"]
    return More(format.get("schema"), [mark(block["source"]["data"]) for block in blocks])


def _gemini(body: Mapping[str, Any]) -> More:
    config = body.get("generationConfig") or {}
    parts = [part for content in body["contents"] for part in content["parts"] if "inlineData" in part]
    schema = config.get("responseJsonSchema") or config.get("responseSchema")
    return More(schema, [mark(part["inlineData"]["data"]) for part in parts])


_MORE: Mapping[str, Callable[[Mapping[str, Any]], More]] = {
    "/chat/completions": _chat,
    "/responses": _responses,
    "/messages": _messages,
    "enerateContent": _gemini,
}


def _parts(messages: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    contents = [one.get("content") for one in messages]
    return [part for content in contents if isinstance(content, list) for part in content]


def _data(url: str) -> str:
    return url.partition("base64,")[2]
