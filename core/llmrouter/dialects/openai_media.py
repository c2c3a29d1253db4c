"""Files, sounds and cache marks of Chat Completions ⇄ parts of a conversation."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from llmrouter.types import CacheMark, File

MARKS = ("cache_control", "prompt_cache_breakpoint")
"""Keys by which a part, a message, a call or a tool is marked: OpenRouter's, and OpenAI's own."""

_TTLS = ("5m", "1h")
_DATA = re.compile(r"data:(?P<kind>[\w.+-]+)/(?P<subtype>[\w.+-]+)[^,]*;base64,")
_FORMATS: Mapping[str, str] = {"mpeg": "mp3", "x-wav": "wav", "wave": "wav", "vnd.wave": "wav"}
_SUBTYPES: Mapping[str, str] = {"mp3": "mpeg"}
PDF = "data:application/pdf;base64,"


def cache_marks(wire: Mapping[str, Any]) -> Iterator[CacheMark]:
    """The mark of a part, a message, a call or a tool, if it has one."""
    for name in MARKS:
        if isinstance(said := wire.get(name), dict):
            ttl = said.get("ttl")
            yield CacheMark(ttl if ttl in _TTLS else "")
            return


def read_file(wire: Any) -> File | None:
    """A file that stands in the request. None for one that its vendor keeps, and for what is no file."""
    data = wire.get("file_data") if isinstance(wire, dict) else None
    if not data or not isinstance(data, str):
        return None
    name = wire.get("filename")
    url = data if data.startswith(("data:", "http://", "https://")) else PDF + data
    return File(url, name if isinstance(name, str) else "")


def read_sound(wire: Any) -> File | None:
    """None for what is no sound."""
    data = wire.get("data") if isinstance(wire, dict) else None
    if not data or not isinstance(data, str):
        return None
    format = str(wire.get("format") or "wav")
    return File(f"data:audio/{_SUBTYPES.get(format, format)};base64,{data}")


def written_file(file: File) -> dict[str, Any]:
    """A sound has a part of its own; a file needs a name, which says what is in it."""
    found = _DATA.match(file.url)
    subtype = found["subtype"] if found else ""
    if found and found["kind"] == "audio":
        sound = {"data": file.url[found.end() :], "format": _FORMATS.get(subtype, subtype)}
        return {"type": "input_audio", "input_audio": sound}
    name = file.name or (f"file.{subtype}" if subtype.isalnum() else "file")
    return {"type": "file", "file": {"filename": name, "file_data": file.url}}
