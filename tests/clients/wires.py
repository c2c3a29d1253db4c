"""What a request of each wire offers and says, and who answers it: as much as a scripted model needs to know."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from attrs import field, frozen

from llmrouter.testing.speaker import Speaker
from llmrouter.testing.upstream_anthropic import Messages
from llmrouter.testing.upstream_gemini import Generate
from llmrouter.testing.upstream_openai import Chat
from llmrouter.testing.upstream_responses import Responses


@frozen
class Asked:
    """Tools (name → JSON Schema), what they put out (if the call stands before it), and the user's text."""

    tools: Mapping[str, Mapping[str, Any]] = field(factory=dict)
    outputs: Sequence[str] = ()
    text: str = ""


@frozen
class Wire:
    read: Callable[[Mapping[str, Any]], Asked]
    speaker: type[Speaker]


def _chat(body: Mapping[str, Any]) -> Asked:
    messages = body["messages"]
    functions = [tool["function"] for tool in body.get("tools") or () if tool["type"] == "function"]
    calls = {call["id"] for one in messages for call in one.get("tool_calls") or ()}
    return Asked(
        {one["name"]: one.get("parameters") or {} for one in functions},
        [_text(one["content"]) for one in messages if one["role"] == "tool" and one["tool_call_id"] in calls],
        " ".join(_text(one["content"]) for one in messages if one["role"] == "user"),
    )


def _responses(body: Mapping[str, Any]) -> Asked:
    said = body["input"]
    if isinstance(said, str):
        return Asked(_functions(body), (), said)
    calls = {item["call_id"] for item in said if item.get("type") == "function_call"}
    outputs = [item for item in said if item.get("type") == "function_call_output" and item["call_id"] in calls]
    return Asked(
        _functions(body),
        [_text(item["output"]) for item in outputs],
        " ".join(_text(item["content"]) for item in said if item.get("role") == "user"),
    )


def _functions(body: Mapping[str, Any]) -> dict[str, Any]:
    return {
        one["name"]: one.get("parameters") or {} for one in body.get("tools") or () if one["type"] == "function"
    }


def _messages(body: Mapping[str, Any]) -> Asked:
    spoken = [one for one in body["messages"] if one["role"] == "user"]
    blocks = [block for one in body["messages"] if not isinstance(one["content"], str) for block in one["content"]]
    calls = {block["id"] for block in blocks if block["type"] == "tool_use"}
    results = [block for block in blocks if block["type"] == "tool_result" and block["tool_use_id"] in calls]
    return Asked(
        {one["name"]: one["input_schema"] for one in body.get("tools") or () if "input_schema" in one},
        [_text(block.get("content")) for block in results],
        " ".join(_text(one["content"]) for one in spoken),
    )


def _gemini(body: Mapping[str, Any]) -> Asked:
    declared = [one for tool in body.get("tools") or () for one in tool.get("functionDeclarations") or ()]
    parts = [part for content in body["contents"] for part in content["parts"]]
    calls = {part["functionCall"]["name"] for part in parts if "functionCall" in part}
    outputs = [part["functionResponse"] for part in parts if "functionResponse" in part]
    return Asked(
        {one["name"]: one.get("parametersJsonSchema") or one.get("parameters") or {} for one in declared},
        [json.dumps(one["response"]) for one in outputs if one["name"] in calls],
        _text(parts),
    )


def _text(content: Any) -> str:
    """The text of a content, which is a text or a list of parts."""
    if isinstance(content, str):
        return content
    return " ".join(part.get("text") or "" for part in content or ())


WIRES: Mapping[str, Wire] = {
    "/chat/completions": Wire(_chat, Chat),
    "/responses": Wire(_responses, Responses),
    "/messages": Wire(_messages, Messages),
    "enerateContent": Wire(_gemini, Generate),
}
"""By what stands in the path."""
