"""What routing wants to know of contents and tools, without decoding them: one typed pass."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from llmrouter.types import Fields

from .gemini_media import OWN_MEDIA
from .openai_peek import BYTES_PER_TOKEN, MEDIA_TOKENS, Seen, typed

T = TypeVar("T")

_NULL = msgspec.Raw(b"null")
_N = ord("n")


class Blob(msgspec.Struct, gc=False):
    mimeType: str | None = None
    mime_type: str | None = None
    data: msgspec.Raw = _NULL
    fileUri: str | None = None
    file_uri: str | None = None


class Part(msgspec.Struct, gc=False):
    inlineData: Blob | None = None
    inline_data: Blob | None = None
    fileData: Blob | None = None
    file_data: Blob | None = None
    functionResponse: msgspec.Raw = _NULL
    function_response: msgspec.Raw = _NULL


class Content(msgspec.Struct, gc=False):
    parts: list[Part] | Part | None = None


class Tool(msgspec.Struct, gc=False):
    functionDeclarations: msgspec.Raw = _NULL
    function_declarations: msgspec.Raw = _NULL


_contents = msgspec.json.Decoder(list[Content] | Content)
_tools = msgspec.json.Decoder(list[Tool] | Tool)


def peek(fields: Fields) -> Seen:
    """Raises InvalidRequest for contents that are no objects."""
    needs: set[str] = set()
    size, media, last = len(fields["contents"]), 0, None
    for content in _listed(typed(_contents, "contents", fields["contents"])):
        for last in _listed(content.parts):
            blob = last.inlineData or last.inline_data or last.fileData or last.file_data
            if blob is not None:
                needs |= _needs(blob)
                size, media = size - len(blob.data), media + 1
    for name in ("systemInstruction", "system_instruction", "tools"):
        size += len(fields[name]) if name in fields else 0
    if "tools" in fields and any(map(_calls, _listed(typed(_tools, "tools", fields["tools"])))):
        needs.add("tools")
    if "cachedContent" in fields or "cached_content" in fields:  # a part of the prompt that its vendor keeps
        needs.add("vendor_files")
    in_tool_loop = last is not None and (_there(last.functionResponse) or _there(last.function_response))
    return Seen(frozenset(needs), size // BYTES_PER_TOKEN + media * MEDIA_TOKENS, in_tool_loop)


def _needs(blob: Blob) -> set[str]:
    kind, uri = blob.mimeType or blob.mime_type or "", blob.fileUri or blob.file_uri or ""
    needs = {{"image": "vision", "audio": "audio"}.get(kind.partition("/")[0], "files")}
    if uri:
        needs.add("vendor_files" if OWN_MEDIA.match(uri) else "remote_media")
    return needs


def _calls(tool: Tool) -> bool:
    return any(
        _there(one) and len(one) > len("[]") for one in (tool.functionDeclarations, tool.function_declarations)
    )


def _there(value: msgspec.Raw) -> bool:
    """Whether a value stands there that is not null."""
    return memoryview(value)[0] != _N


def _listed(value: list[T] | T | None) -> list[T]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]
