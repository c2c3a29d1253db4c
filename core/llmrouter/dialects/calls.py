"""Calls of tools: ids for those that came without one, and their arguments as an object."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

from .common import loads


def synthetic(*place: object) -> str:
    """An id for a call that came without: the same for the same place, another in another one."""
    return "call_" + blake2b("/".join(map(str, place)).encode(), digest_size=12).hexdigest()


def arguments_of(text: str) -> dict[str, Any]:
    """Arguments as an object. A model's slip that is none is told as it was said, under `_raw`."""
    try:
        value = loads(text.encode()) if text.strip() else {}
    except ValueError:
        value = None
    return value if isinstance(value, dict) else {"_raw": text}
