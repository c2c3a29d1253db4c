"""Pictures, sounds and documents: `inlineData` and `fileData` ⇄ `Image` and `File`."""

from __future__ import annotations

import base64
import mimetypes
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote_to_bytes

from llmrouter.types import File, Image

from .gemini_common import camelled, plain_base64
from .reading import text_of

OWN_MEDIA = re.compile(
    r"gs://|https?://(?:[\w-]+\.)*(?:youtube\.com|youtu\.be|googleapis\.com|googleusercontent\.com)/", re.IGNORECASE
)
"""Addresses that Google's models fetch themselves, and others cannot: uploads, buckets, videos of YouTube."""

_UNKNOWN = "application/octet-stream"


def read_inline(wire: Any, place: str) -> Image | File:
    blob = camelled(wire, place)
    kind = text_of(blob.get("mimeType") or _UNKNOWN, f"{place}.mimeType")
    url = f"data:{kind};base64,{plain_base64(text_of(blob.get('data') or '', f'{place}.data'))}"
    return Image(url) if kind.startswith("image/") else File(url, str(blob.get("displayName") or ""))


def read_file(wire: Any, place: str) -> Image | File:
    said = camelled(wire, place)
    uri, kind = text_of(said.get("fileUri"), f"{place}.fileUri"), said.get("mimeType")
    is_image = str(kind or mimetypes.guess_type(uri)[0]).startswith("image/")
    return Image(uri) if is_image else File(uri, str(said.get("displayName") or ""))


def written_media(part: Image | File) -> dict[str, Any] | None:
    """None for what Google's models do not fetch."""
    if part.url.startswith("data:"):
        kind, data = _opened(part.url)
        return {"inlineData": {"mimeType": kind, "data": data}}
    if not OWN_MEDIA.match(part.url):
        return None
    guessed = mimetypes.guess_type(part.url)[0]
    kinds: Mapping[str, str] = {"mimeType": guessed} if guessed else {}
    return {"fileData": {**kinds, "fileUri": part.url}}


def _opened(url: str) -> tuple[str, str]:
    """Media type and base64 of a `data:` URL."""
    head, _, data = url.removeprefix("data:").partition(",")
    if head.endswith(";base64"):
        return head.removesuffix(";base64") or "text/plain", data
    return head or "text/plain", base64.b64encode(unquote_to_bytes(data)).decode()
