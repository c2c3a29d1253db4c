"""What a request of each wire offers and says, and who answers it: as much as a scripted model needs to know."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from attrs import field, frozen

from llmrouter.testing.speaker import Speaker
from llmrouter.testing.upstream_openai import Chat


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


def _text(content: Any) -> str:
    """The text of a content, which is a text or a list of parts."""
    if isinstance(content, str):
        return content
    return " ".join(part.get("text") or "" for part in content or ())


WIRES: Mapping[str, Wire] = {"/chat/completions": Wire(_chat, Chat)}
"""By what stands in the path."""
