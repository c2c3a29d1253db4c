"""What the rooms of `gemini.generate` share: keys in both spellings, lists of one, foreign signatures.

Google's servers take every key in camelCase and in snake_case, a single object where a list belongs, and base64 of
both alphabets. So do we; what we write is camelCase and the plain alphabet.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from typing import Any

from . import reading
from .signatures import MARK, tagged, untagged

NAME = "gemini.generate"
FAMILY = "gemini"

_UNDERSCORE = re.compile(r"(?<=[a-z0-9])_([a-z0-9])")
_FOREIGN = base64.b64encode(MARK.encode())[: len(MARK) * 8 // 6].decode()
"""How every foreign signature begins here."""


def camel(name: str) -> str:
    return _UNDERSCORE.sub(lambda found: found[1].upper(), name) if "_" in name else name


def camelled(value: Any, place: str) -> dict[str, Any]:
    """An object by its names in camelCase; null is the same as absent. Raises InvalidRequest for what is none."""
    said = reading.as_object(value, place)
    return {(camel(name) if "_" in name else name): one for name, one in said.items() if one is not None}


def each(value: Any, place: str) -> Iterator[tuple[str, Any]]:
    """The members of a list with their places; an object alone is a list of one, null an empty one."""
    return reading.each([value] if isinstance(value, Mapping) else value, place)


def plain_base64(data: str) -> str:
    """Base64 in the plain alphabet, padded."""
    data = data.replace("-", "+").replace("_", "/").rstrip("=")
    return data + "=" * (-len(data) % 4)


# --- signatures


def written_signature(signature: str, source: str) -> str:
    """How a signature stands in `thoughtSignature`: clients decode the base64 there, so a mark is encoded too."""
    if not signature or source == NAME:
        return signature
    return base64.b64encode(tagged(signature, source, NAME).encode()).decode()


def read_signature(text: str) -> tuple[str, str]:
    """The signature, and the dialect it belongs to."""
    if not is_foreign(text):
        return text, NAME if text else ""
    try:
        return untagged(base64.b64decode(plain_base64(text)).decode(), NAME)
    except (binascii.Error, UnicodeDecodeError):
        return text, NAME


def is_foreign(text: str) -> bool:
    return text.startswith(_FOREIGN)
