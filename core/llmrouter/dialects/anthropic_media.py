"""Pictures and documents of Messages ⇄ parts of a conversation."""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Any

from llmrouter.types import File, Image

PICTURES = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})
"""The media types that the API takes."""

_DATA = re.compile(r"data:(?P<type>[\w.+-]+/[\w.+-]+)?[^,]*?(?P<base64>;base64)?,", re.IGNORECASE)


def url_of(source: Any) -> str | None:
    """The address of a source, or its data as one. None for a file that the vendor keeps, and for what is none."""
    if not isinstance(source, dict):
        return None
    match source.get("type"):
        case "base64" if isinstance(data := source.get("data"), str):
            return f"data:{source.get('media_type', 'application/octet-stream')};base64,{data}"
        case "url" if isinstance(url := source.get("url"), str):
            return url
        case "text" if isinstance(data := source.get("data"), str):
            return f"data:text/plain;base64,{b64encode(data.encode()).decode()}"
    return None


def written_image(image: Image) -> dict[str, Any] | None:
    """None for a picture that the API does not take."""
    if _is_remote(image.url):
        return {"type": "image", "source": {"type": "url", "url": image.url}}
    media, data = _embedded(image.url)
    if media == "image/jpg":  # no such type, but widely written
        media = "image/jpeg"
    if media not in PICTURES or not data:
        return None
    return {"type": "image", "source": {"type": "base64", "media_type": media, "data": data}}


def written_file(file: File) -> dict[str, Any] | None:
    """None for a file that the API does not take: a sound, an office document."""
    source = _source(file.url)
    if source is None:
        return written_image(Image(file.url))
    named = {"title": file.name} if file.name else {}
    return {"type": "document", "source": source} | named


def _source(url: str) -> Mapping[str, Any] | None:
    if _is_remote(url):
        return {"type": "url", "url": url}
    media, data = _embedded(url)
    if media == "application/pdf" and data:
        return {"type": "base64", "media_type": media, "data": data}
    if media.startswith("text/") and (text := _text(data)) is not None:
        return {"type": "text", "media_type": "text/plain", "data": text}
    return None


def _embedded(url: str) -> tuple[str, str]:
    """The media type and the base64 of a `data:` URL; twice "" for any other."""
    found = _DATA.match(url)
    if found is None or not found["base64"]:
        return "", ""
    return (found["type"] or "text/plain").lower(), url[found.end() :]


def _text(data: str) -> str | None:
    try:
        return b64decode(data, validate=True).decode()
    except ValueError:
        return None


def _is_remote(url: str) -> bool:
    return url.startswith(("http://", "https://"))
