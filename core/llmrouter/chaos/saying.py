"""What the upstreams of a run say, in every dialect that one may be asked in, and what they meant by it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from attrs import evolve, frozen

from llmrouter.testing.speaker import TEXT, Speaker, Tool
from llmrouter.testing.upstream import Received
from llmrouter.testing.upstream_anthropic import Messages
from llmrouter.testing.upstream_gemini import Generate, model_of
from llmrouter.testing.upstream_ollama import NativeChat
from llmrouter.testing.upstream_openai import Chat
from llmrouter.testing.upstream_responses import Responses

from .scenario import Says, Shape

MOST_OUTPUT = 8
"""Tokens asked for: a plain answer gets a second for every twenty, and that allowance is not scaled down."""
TOOL = "look_up"

_SPEAKERS: Mapping[str, type[Speaker]] = {
    "/chat/completions": Chat,
    "/messages": Messages,
    ":generateContent": Generate,
    ":streamGenerateContent": Generate,
    "/responses": Responses,
    "/api/chat": NativeChat,
}
_MARK = re.compile(rb"chaos (\d+)")
_OBJECT = {"type": "object", "properties": {"said": {"type": "string"}}, "required": ["said"]}
_SCHEMA = {**_OBJECT, "additionalProperties": False}
_ASKED: Mapping[Says, Mapping[str, Any]] = {
    "text": {},
    "json": {
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "saying", "strict": True, "schema": _SCHEMA},
        }
    },
    "tool": {"tools": [{"type": "function", "function": {"name": TOOL, "parameters": _SCHEMA}}]},
}


@frozen
class Meaning:
    """What an answer must hold: its text, and the calls of tools by name and arguments."""

    text: str
    calls: tuple[tuple[str, Any], ...] = ()


def body(model: str, number: int, shape: Shape, says: Says) -> Mapping[str, Any]:
    """A chat request that no other equals: its number comes back in its answer."""
    prompt = f"Say it, and that this is chaos {number}."
    asked = {"model": model, "messages": [{"role": "user", "content": prompt}], "max_tokens": MOST_OUTPUT}
    return {**asked, "temperature": 0, "stream": shape == "stream", **_ASKED[says]}


def meaning(number: int, says: Says) -> Meaning:
    """What the answer to that request must hold."""
    text, tools = _said(number, says)
    return Meaning("" if tools else text, tuple([(name, json.loads(arguments)) for _, name, arguments in tools]))


def speaker(request: Received, says: Says) -> Speaker | None:
    """Who answers a request in good health. None: it is none that generates."""
    path = request.path.partition("?")[0]
    found = next((one for end, one in _SPEAKERS.items() if path.endswith(end)), None)
    mark = _MARK.search(request.body)
    if found is None or mark is None:
        return None
    text, tools = _said(int(mark[1]), says)
    return evolve(found(), text=text, tools=tools)


def model(request: Received) -> str:
    """The model that a request asks for."""
    if "/models/" in request.path:
        return model_of(request)
    asked = request.json.get("model")
    return asked if isinstance(asked, str) else ""


def _said(number: int, says: Says) -> tuple[str, Sequence[Tool]]:
    text = f"{TEXT} chaos {number}"
    said = json.dumps({"said": text})
    if says == "tool":
        return "", [(f"call_{number}", TOOL, said)]
    return (said if says == "json" else text), ()
