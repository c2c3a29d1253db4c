"""Messages of a conversation → those of Ollama: one text each, pictures as base64, arguments as objects."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from llmrouter.dialects import arguments_of
from llmrouter.types import CacheMark, Image, Message, Part, Refusal, Text, Thought, ToolCall, ToolOutput


def write_messages(messages: Iterable[Message], dropped: list[str]) -> list[dict[str, Any]]:
    """One message may become several: every tool output is a message of its own."""
    names: dict[str, str] = {}  # of calls so far, by id: an output names the tool
    written: list[dict[str, Any]] = []
    for message in messages:
        names |= {part.id: part.name for part in message.parts if isinstance(part, ToolCall)}
        outputs = [part for part in message.parts if isinstance(part, ToolOutput)]
        written += [_output(one, names, dropped) for one in outputs]
        rest = [part for part in message.parts if not isinstance(part, ToolOutput)]
        if rest or not message.parts:
            written.append({"role": message.role, **_said(rest, dropped)})
    return written


def _said(parts: Sequence[Part], dropped: list[str]) -> dict[str, Any]:
    said: dict[str, Any] = {"content": "".join([one.text for one in parts if isinstance(one, Text | Refusal)])}
    if thought := "".join([one.text for one in parts if isinstance(one, Thought)]):
        said["thinking"] = thought
    if images := [_base64(one, dropped) for one in parts if isinstance(one, Image)]:
        said["images"] = images
    if calls := [_call(one) for one in parts if isinstance(one, ToolCall)]:
        said["tool_calls"] = calls
    _report(parts, dropped)
    return said


def _output(output: ToolOutput, names: dict[str, str], dropped: list[str]) -> dict[str, Any]:
    if output.error:
        dropped.append("messages.tool_output.error")
    name = {"tool_name": names[output.id]} if output.id in names else {}
    return {"role": "tool", "tool_call_id": output.id, **name, **_said(output.content, dropped)}


def _call(call: ToolCall) -> dict[str, Any]:
    return {"id": call.id, "function": {"name": call.name, "arguments": arguments_of(call.arguments)}}


def _base64(image: Image, dropped: list[str]) -> str:
    """What a `data:` URL holds. Remote pictures never come here: the dialect does not express them."""
    if image.detail:
        dropped.append("messages.image.detail")
    return image.url.rpartition(",")[2]


def _report(parts: Sequence[Part], dropped: list[str]) -> None:
    if any(isinstance(one, CacheMark) for one in parts):
        dropped.append("messages.cache_control")
    if any(isinstance(one, Thought) and one.signature for one in parts):
        dropped.append("messages.thought.signature")
    known = Text | Refusal | Thought | Image | ToolCall | CacheMark
    dropped.extend([f"messages.{type(one).__name__.lower()}" for one in parts if not isinstance(one, known)])
