"""What routing wants to know of a request of Messages, without decoding it: one typed pass, as in `openai_peek`."""

from __future__ import annotations

from typing import Any

import msgspec

from llmrouter.types import Fields

from .checks import kind
from .common import loads
from .openai_peek import BYTES_PER_TOKEN, MEDIA_TOKENS, Seen, typed

_MEDIA = {"image": "vision", "document": "files"}
_ELSEWHERE = {"url": "remote_media", "file": "vendor_files"}
"""Needs of media that do not stand in the request, by the type of their source."""
_NULL = msgspec.Raw(b"null")


class Source(msgspec.Struct, gc=False):
    type: str | None = ""
    data: msgspec.Raw = _NULL


class Block(msgspec.Struct, gc=False):
    type: str | None = ""
    source: msgspec.Raw = _NULL
    content: msgspec.Raw = _NULL  # of the output of a tool, and of some documents


class Turn(msgspec.Struct, gc=False):
    role: str
    content: msgspec.Raw = _NULL


class Tool(msgspec.Struct, gc=False):
    type: Any = None


_turns = msgspec.json.Decoder(list[Turn])
_blocks = msgspec.json.Decoder(list[Block])
_source = msgspec.json.Decoder(Source)
_tools = msgspec.json.Decoder(list[Tool])


class Peek:
    """Gathers what is found. `size` is in bytes, without embedded media."""

    def __init__(self) -> None:
        self.needs: set[str] = set()
        self.size = self.media = 0

    def blocks(self, content: msgspec.Raw, place: str) -> list[Block]:
        if kind(content) != "array":
            return []
        blocks = typed(_blocks, place, content)
        for block in blocks:
            if need := _MEDIA.get(block.type or ""):
                self._medium(block, need, place)
            elif block.type == "container_upload":
                self.needs.add("vendor_files")
            elif block.type == "tool_result":
                self.blocks(block.content, place)
        return blocks

    def _medium(self, block: Block, need: str, place: str) -> None:
        source = typed(_source, place, block.source) if kind(block.source) == "object" else Source()
        if source.type == "text":
            return  # it is read as text everywhere
        self.needs.add(need)
        self.media += 1
        self.size -= len(source.data)
        if elsewhere := _ELSEWHERE.get(source.type or ""):
            self.needs.add(elsewhere)


def peek(fields: Fields) -> Seen:
    """Raises InvalidRequest for messages that are no objects or have no role."""
    found = Peek()
    found.size = sum([len(fields[name]) for name in ("messages", "system", "tools") if name in fields])
    last: list[Block] = []
    turns = typed(_turns, "messages", fields["messages"])
    for at, turn in enumerate(turns):
        blocks = found.blocks(turn.content, f"messages[{at}].content")
        if turn.role != "system":  # a remark of the operator's between the turns
            last = blocks
    if "tools" in fields and kind(fields["tools"]) == "array":
        tools = typed(_tools, "tools", fields["tools"])
        if any(tool.type in (None, "custom") for tool in tools):
            found.needs.add("tools")
    in_tool_loop = any(block.type == "tool_result" for block in last)
    tokens = max(0, found.size) // BYTES_PER_TOKEN + found.media * MEDIA_TOKENS
    return Seen(frozenset(found.needs), tokens, in_tool_loop)


def session_of(metadata: Any) -> str | None:
    """What keeps a conversation together: the session in `user_id` where it is JSON, else all of it."""
    said = metadata.get("user_id") if isinstance(metadata, dict) else None
    if not isinstance(said, str):
        return None
    try:
        value = loads(said.encode()) if said.startswith("{") else None
    except ValueError:
        return said
    session = value.get("session_id") if isinstance(value, dict) else None
    return session if isinstance(session, str) and session else said
