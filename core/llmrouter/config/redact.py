"""Keeping secrets out of what is shown.

Three nets, one behind the other: values under a secret's name are never shown, values that were read
from a variable or a file are never shown, and what is left is searched for both of them and for anything
that looks like a credential in the wrong place.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from .document import Where

HIDDEN = "…"
LEAST = 12
"""Shorter values are not looked for in messages: "ollama" and "4000" are words of their own."""

_NAME = re.compile(r"(^|[_-])(keys?|secrets?|token|password|passwd|hash|authorization|credentials?)$", re.I)
_CREDENTIAL = re.compile(
    r"\b(sk|pk|rk|gsk|csk|xai|hf|ghp|pplx|nvapi|r8|tgp|fw)[-_][A-Za-z0-9_-]{6,}"
    r"|\b(?=[A-Za-z]*[0-9])(?=[0-9]*[A-Za-z])[A-Za-z0-9]{20,}"
)
_USERINFO = re.compile(r"(?<=://)[^/@\s]+(?=@)")


def names_secret(where: Where) -> bool:
    """Whether a value belongs to a secret's name: `api_key`, `hash`, `x-token`, …"""
    return bool(where) and isinstance(where[-1], str) and bool(_NAME.search(where[-1]))


def beneath_secret(where: Where) -> bool:
    """Whether a value stands anywhere below a secret's name."""
    return any(names_secret(where[: depth + 1]) for depth in range(len(where)))


def shown(value: Any) -> str:
    """A value of a configuration for an error: short, and without what looks like a credential."""
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    text = json.dumps(scrubbed(value) if isinstance(value, str) else value, ensure_ascii=False)
    return text if len(text) <= 60 else f'{text[:50]}{HIDDEN}"'


def scrubbed(text: str, secrets: Iterable[str] = ()) -> str:
    """A text without those secrets, and without anything that looks like one."""
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return _CREDENTIAL.sub(HIDDEN, _USERINFO.sub(HIDDEN, text))


def secrets_in(value: Any, where: Where = ()) -> set[str]:
    """Every text below a secret's name, worth looking for."""
    if isinstance(value, Mapping):
        return set().union(*(secrets_in(one, (*where, key)) for key, one in value.items()))
    if isinstance(value, list):
        return set().union(*(secrets_in(one, (*where, index)) for index, one in enumerate(value)))
    found = isinstance(value, str) and len(value) >= LEAST and _under(where)
    return {value} if found else set()


def _under(where: Where) -> bool:
    """`api_keys: [a, b]` too: the last name of the path decides, so `keys[0].name` is no secret."""
    names = [part for part in where if isinstance(part, str)]
    return names_secret(tuple(names))
