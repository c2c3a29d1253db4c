"""What routing wants to know of messages and tools, without decoding them.

One typed pass: roles, kinds of content, lengths. 109 KB take 27 µs, where decoding takes 90.
"""

from __future__ import annotations

import re
from typing import Annotated, TypeVar

import msgspec

from llmrouter.errors import InvalidRequest
from llmrouter.types import Fields

from .checks import first_byte, kind, require
from .common import decode

T = TypeVar("T")

BYTES_PER_TOKEN = 4
MEDIA_TOKENS = 800  # of a picture or a document inside a message, whatever its size

_NULL = msgspec.Raw(b"null")
_LIST = ord("[")
_MEDIA = {"image_url": "vision", "input_audio": "audio", "file": "files"}
_ELSEWHERE = {
    "remote_media": re.compile(rb'"(?:url|file_url|file_data)"\s*:\s*"http'),
    "vendor_files": re.compile(rb'"file_id"\s*:\s*"'),
}
"""Needs of media that do not stand in the request."""
_EMBEDDED = (b'"data:', b'"data":"', b'"data": "')  # what stands before base64


class Typed(msgspec.Struct, gc=False):
    type: str = ""


class Peeked(msgspec.Struct, gc=False):
    role: str
    content: msgspec.Raw = _NULL
    audio: msgspec.Raw = _NULL


class Seen(msgspec.Struct, frozen=True):
    """`tokens` is an estimate: a token is 4 bytes, embedded media are 800 each."""

    needs: frozenset[str]
    tokens: int
    in_tool_loop: bool


_messages = msgspec.json.Decoder(Annotated[list[Peeked], msgspec.Meta(min_length=1)])
_typed = msgspec.json.Decoder(list[Typed])


def peek(fields: Fields) -> Seen:
    """Raises InvalidRequest for messages that are no objects or have no role."""
    messages = _decoded(fields)
    needs: set[str] = set()
    size, media = len(fields["messages"]), 0
    for at, message in enumerate(messages):
        if first_byte(message.content)[0] == _LIST:
            kinds = {part.type for part in typed(_typed, f"messages[{at}].content", message.content)}
            needs.update(_MEDIA[one] for one in kinds & _MEDIA.keys())
            if kinds & _MEDIA.keys():
                content = bytes(message.content)
                needs.update(need for need, seen in _ELSEWHERE.items() if seen.search(content))
                found, count = embedded(content)
                size, media = size - found, media + count
        if message.audio is not _NULL and kind(message.audio) == "object":
            needs.add("audio_out")
    if "tools" in fields and kind(fields["tools"]) == "array":
        size += len(fields["tools"])
        needs |= _tools(fields["tools"])
    in_tool_loop = messages[-1].role in ("tool", "function")
    return Seen(frozenset(needs), size // BYTES_PER_TOKEN + media * MEDIA_TOKENS, in_tool_loop)


def _decoded(fields: Fields) -> list[Peeked]:
    try:
        messages: list[Peeked] = _messages.decode(fields["messages"])
    except (LookupError, ValueError, RecursionError):
        require(fields, "messages", "array")
        return typed(_messages, "messages", fields["messages"])
    return messages


def _tools(tools: msgspec.Raw) -> set[str]:
    kinds = {tool.type for tool in typed(_typed, "tools", tools)}
    if not kinds:
        return set()
    return {"tools"} if kinds <= {"function", ""} else {"tools", "custom_tools"}


def embedded(content: bytes) -> tuple[int, int]:
    """Bytes of base64 in a content, and how many pieces they are."""
    size = count = 0
    for mark in _EMBEDDED:
        at = content.find(mark)
        while at >= 0:
            start = at + len(mark)
            at = content.find(b'"', start)
            size, count = size + at - start, count + 1
            at = content.find(mark, at)
    return size, count


def typed(decoder: msgspec.json.Decoder[T], name: str, value: msgspec.Raw) -> T:
    """A value by a typed decoder. Raises InvalidRequest that names the place."""
    try:
        return decode(decoder, value)
    except ValueError as error:
        message, _, place = str(error).partition(" - at `$")
        param = name + place.removesuffix("`")
        raise InvalidRequest(f"{param}: {message}", param=param, code="invalid_type") from None
