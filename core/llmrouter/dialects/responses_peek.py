"""What routing wants to know of items and tools, without decoding them: one typed pass over each."""

from __future__ import annotations

import re

import msgspec

from llmrouter.types import Fields

from .checks import kind
from .openai_peek import BYTES_PER_TOKEN, MEDIA_TOKENS, Seen, Typed, embedded, typed

_NULL = msgspec.Raw(b"null")
_LIST = ord("[")
_MEDIA = {"input_image": "vision", "input_audio": "audio", "input_file": "files"}
_REMOTE = re.compile(rb'"(?:image_url|file_url)"\s*:\s*"http')
_STORED = re.compile(rb'"file_id"\s*:\s*"')
_CLIENTS = frozenset({"function", "custom", "namespace", ""})
"""Kinds of tools that the client runs; the vendor runs all others."""


class Peeked(msgspec.Struct, gc=False):
    type: str | None = ""
    content: msgspec.Raw = _NULL
    output: msgspec.Raw = _NULL


_items = msgspec.json.Decoder(list[Peeked])
_typed = msgspec.json.Decoder(list[Typed])


def peek(fields: Fields) -> Seen:
    """Raises InvalidRequest for items that are no objects."""
    needs: set[str] = set()
    size = media = 0
    in_tool_loop = False
    if "input" in fields:
        size = len(fields["input"])
        if kind(fields["input"]) == "array":
            items = typed(_items, "input", fields["input"])
            in_tool_loop = bool(items) and (items[-1].type or "").endswith("_output")
            for at, item in enumerate(items):
                for name, value in (("content", item.content), ("output", item.output)):
                    if memoryview(value)[0] == _LIST:
                        found, count = _look(value, f"input[{at}].{name}", needs)
                        size, media = size - found, media + count
    if "instructions" in fields:
        size += len(fields["instructions"])
    if "tools" in fields and kind(fields["tools"]) == "array":
        size += len(fields["tools"])
        if any(tool.type in _CLIENTS for tool in typed(_typed, "tools", fields["tools"])):
            needs.add("tools")
    return Seen(frozenset(needs), size // BYTES_PER_TOKEN + media * MEDIA_TOKENS, in_tool_loop)


def _look(parts: msgspec.Raw, place: str, needs: set[str]) -> tuple[int, int]:
    """Add what a list of parts needs; the bytes of base64 in it, and how many pieces they are."""
    kinds = {part.type for part in typed(_typed, place, parts)} & _MEDIA.keys()
    if not kinds:
        return 0, 0
    needs.update(_MEDIA[one] for one in kinds)
    content = bytes(parts)
    if _REMOTE.search(content):
        needs.add("remote_media")
    if _STORED.search(content):
        needs.add("vendor_files")
    return embedded(content)
