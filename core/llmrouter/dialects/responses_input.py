"""Messages of a conversation → instructions and items of a Responses request."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from llmrouter.types import (
    CacheMark,
    File,
    Image,
    Message,
    Part,
    Refusal,
    Text,
    Thought,
    ToolCall,
    ToolOutput,
)

from .responses_thoughts import write_thought

_SOUND = "data:audio/"
_UNNAMED = "file"  # a file's data needs a name here


def write_input(messages: Sequence[Message], dropped: list[str]) -> tuple[str, list[dict[str, Any]]]:
    """What leads as the system's word becomes instructions; all else stays in its place."""
    leading = 0
    while leading < len(messages) and _is_instruction(messages[leading]):
        leading += 1
    texts = [part.text for message in messages[:leading] for part in message.parts if isinstance(part, Text)]
    items = [item for message in messages[leading:] for item in _items(message, dropped)]
    return "\n\n".join(texts), items


def _is_instruction(message: Message) -> bool:
    return message.role == "system" and all(isinstance(part, Text | CacheMark) for part in message.parts)


def _items(message: Message, dropped: list[str]) -> Iterator[dict[str, Any]]:
    """One message may become several items: calls, outputs and thoughts are items of their own."""
    said: list[dict[str, Any]] = []
    bare = True
    for part in message.parts:
        item = _item(part, dropped)
        if item is None:
            if written := _part(part, message.role == "assistant", dropped):
                said.append(written)
            continue
        if said:
            yield _message(message.role, said)
            said = []
        bare = False
        if item:
            yield item
    if said or (bare and not message.parts):
        yield _message(message.role, said)


def _item(part: Part, dropped: list[str]) -> dict[str, Any] | None:
    """The item that a part is by itself; {} for one that cannot be said, None for a part of a message."""
    match part:
        case ToolCall(id, name, arguments):
            return {"type": "function_call", "call_id": id, "name": name, "arguments": arguments}
        case ToolOutput():
            return _output(part, dropped)
        case Thought():
            item = write_thought(part)
            if item is None and part.text:
                dropped.append("messages.thought")
            return item or {}
    return None


def _output(output: ToolOutput, dropped: list[str]) -> dict[str, Any]:
    if output.error:
        dropped.append("messages.tool_output.error")
    content = [written for part in output.content if (written := _part(part, False, dropped))]
    return {"type": "function_call_output", "call_id": output.id, "output": _short(content)}


def _message(role: str, content: list[dict[str, Any]]) -> dict[str, Any]:
    return {"type": "message", "role": role, "content": _short(content)}


def _short(content: list[dict[str, Any]]) -> str | list[dict[str, Any]]:
    """A string where one text says it all."""
    if not content:
        return ""
    if len(content) == 1 and "text" in content[0]:
        return str(content[0]["text"])
    return content


def _part(part: Part, spoken: bool, dropped: list[str]) -> dict[str, Any] | None:
    match part:
        case Text(text):
            return {"type": "output_text" if spoken else "input_text", "text": text}
        case Refusal(text):
            return {"type": "refusal", "refusal": text}
        case Image(url, detail) if not spoken:
            return {"type": "input_image", "image_url": url, "detail": detail or "auto"}
        case File(url, name) if not spoken:
            return _file(url, name)
    dropped.append("messages.cache_control" if isinstance(part, CacheMark) else f"messages.{_kind(part)}")
    return None


def _kind(part: Part) -> str:
    return type(part).__name__.lower()


def _file(url: str, name: str) -> dict[str, Any]:
    if url.startswith(_SOUND):
        kind, _, data = url.removeprefix(_SOUND).partition(";base64,")
        return {"type": "input_audio", "input_audio": {"data": data, "format": kind}}
    if not url.startswith("data:"):
        return {"type": "input_file", "file_url": url}
    return {"type": "input_file", "filename": name or _UNNAMED, "file_data": url}
