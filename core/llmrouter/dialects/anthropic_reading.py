"""Messages of Messages → messages of a conversation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from llmrouter.errors import InvalidRequest
from llmrouter.types import CacheMark, File, Image, Message, Part, Text, Thought, ToolCall, ToolOutput

from .anthropic_media import url_of
from .common import dumps
from .openai_messages import ROLES
from .reading import as_object, each, leave, text_of
from .signatures import untagged

NAME = "anthropic.messages"

_TTLS = ("5m", "1h")
_MARK = "cache_control"
_READ: Mapping[str, tuple[str, ...]] = {
    "text": ("text",),
    "image": ("source",),
    "document": ("source", "title", "context"),
    "search_result": ("source", "title", "content"),
    "tool_use": ("id", "name", "input"),
    "tool_result": ("tool_use_id", "content", "is_error"),
    "thinking": ("thinking", "signature"),
    "redacted_thinking": ("data",),
}
"""Types of blocks that a conversation can say, and their keys that it says."""


def read_messages(system: Any, wire: Any, extra: dict[str, Any]) -> tuple[Message, ...]:
    """What a message cannot say goes into `extra` by its place. Raises InvalidRequest."""
    said = tuple(_parts(system, "system", extra)) if system else ()
    first = [Message("system", said)] if said else []
    return (*first, *[_message(one, place, extra) for place, one in each(wire, "messages")])


def cache_mark(wire: Mapping[str, Any]) -> CacheMark | None:
    """The mark of a block or a tool, if it has one."""
    said = wire.get(_MARK)
    if not isinstance(said, dict):
        return None
    ttl = said.get("ttl")
    return CacheMark(ttl if ttl in _TTLS else "")


def _message(wire: Any, place: str, extra: dict[str, Any]) -> Message:
    role = as_object(wire, place).get("role")
    if not isinstance(role, str) or role not in ROLES:
        raise InvalidRequest(f"{place}.role is {role!r}, which no dialect knows", param=f"{place}.role")
    leave(wire, ("role", "content"), place, extra)
    return Message(ROLES[role], tuple(_parts(wire.get("content"), f"{place}.content", extra)))


def _parts(content: Any, place: str, extra: dict[str, Any]) -> Iterator[Part]:
    if isinstance(content, str):
        yield Text(content)
        return
    for at, block in each(content, place):
        kind = str(as_object(block, at).get("type"))
        parts = list(_read(kind, block, at, extra))
        if not parts:
            extra[f"{at}.{kind}"] = block
            continue
        leave(block, ("type", _MARK, *_READ[kind]), at, extra)
        yield from parts
        if mark := cache_mark(block):
            yield mark


def _read(kind: str, block: Mapping[str, Any], at: str, extra: dict[str, Any]) -> Iterator[Part]:
    """The parts that a block is; none where it is something that cannot be said."""
    match kind:
        case "text":
            yield Text(text_of(block.get("text"), f"{at}.text"))
        case "image":
            if url := url_of(block.get("source")):
                yield Image(url)
        case "document":
            yield from _document(block, at, extra)
        case "search_result":
            yield Text("\n".join(_lines(block, at)))
        case "tool_use":
            name = text_of(block.get("name"), f"{at}.name")
            input = {} if block.get("input") is None else block["input"]
            yield ToolCall(text_of(block.get("id"), f"{at}.id"), name, dumps(input).decode())
        case "tool_result":
            yield _output(block, at, extra)
        case "thinking":
            signature, source = untagged(text_of(block.get("signature") or "", f"{at}.signature"), NAME)
            yield Thought(text_of(block.get("thinking") or "", f"{at}.thinking"), signature, source)
        case "redacted_thinking":
            signature, source = untagged(text_of(block.get("data"), f"{at}.data"), NAME)
            yield Thought("", signature, source, redacted=True)


def _document(block: Mapping[str, Any], at: str, extra: dict[str, Any]) -> Iterator[Part]:
    """A file, or what it is made of; what the client says about it comes before it."""
    source, title = block.get("source"), block.get("title")
    if context := block.get("context"):
        yield Text(text_of(context, f"{at}.context"))
    if url := url_of(source):
        yield File(url, title if isinstance(title, str) else "")
    elif isinstance(source, dict) and source.get("type") == "content":
        yield from _parts(source.get("content"), f"{at}.source.content", extra)


def _lines(block: Mapping[str, Any], at: str) -> Iterator[str]:
    """What a search found, as text: where, and what."""
    yield " ".join([str(block[name]) for name in ("title", "source") if block.get(name)])
    for place, one in each(block.get("content"), f"{at}.content"):
        yield text_of(as_object(one, place).get("text") or "", f"{place}.text")


def _output(block: Mapping[str, Any], at: str, extra: dict[str, Any]) -> ToolOutput:
    said = _parts(block.get("content"), f"{at}.content", extra)
    content = tuple([part for part in said if isinstance(part, Text | Image | File)])
    id = text_of(block.get("tool_use_id"), f"{at}.tool_use_id")
    return ToolOutput(id, content, block.get("is_error") is True)
