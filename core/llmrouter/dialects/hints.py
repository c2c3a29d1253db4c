"""What a client may tell the router beside its request: headers, and one `llmrouter` object in the body."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from llmrouter.errors import InvalidRequest
from llmrouter.types import Fields

from .common import dumps, raw

FIELD = "llmrouter"
"""The field of a body that is the router's own: never forwarded."""

NAMES = ("task", "quality", "budget", "priority", "tags", "phase", "timeout", "cache", "dry-run", "trace")
"""Hints, as header `x-llmrouter-<name>` or as a key of the `llmrouter` object (`dry_run` is `dry-run`)."""

LONGEST = 200  # characters of a session that are kept
AMOUNTS = frozenset({"budget", "timeout"})
"""Hints that are figures: USD for a request, and seconds."""
PRIORITIES = ("high", "normal", "low")
"""What the hint `priority` may say: who goes first where requests wait for a limit to pass."""

_TIMEOUT = "x-request-timeout"
_HEADERS = {f"x-llmrouter-{name}": name for name in NAMES}
_TELLING = frozenset({*_HEADERS, _TIMEOUT})
_SESSION_HEADERS = ("x-session-id", "session-id", "x-session-affinity", "x-claude-code-session-id")
_TELLING_SESSION = frozenset({"x-llmrouter-session", *_SESSION_HEADERS})


def hints(own: Mapping[str, str], headers: Mapping[str, str]) -> dict[str, str]:
    """The hints of a request; a header wins over the body, `own`. Raises InvalidRequest."""
    if not own and _TELLING.isdisjoint(headers):
        return {}
    found = {name: value for name, value in own.items() if name != "session"}
    for header in _HEADERS.keys() & headers.keys():
        found[_HEADERS[header]] = headers[header]
    for name in AMOUNTS & found.keys():
        _check_amount(name, found[name])
    if found.get("priority", "normal") not in PRIORITIES:
        raise InvalidRequest(
            f"x-llmrouter-priority must be one of {', '.join(PRIORITIES)}", param="x-llmrouter-priority"
        )
    if "timeout" not in found and _TIMEOUT in headers:
        found["timeout"] = headers[_TIMEOUT]
    return found


def session(own: Mapping[str, str], headers: Mapping[str, str], *named: Any) -> str | None:
    """What keeps the requests of a conversation together: said to us, said by a harness, or a body's own name."""
    if own or not _TELLING_SESSION.isdisjoint(headers):
        named = headers.get("x-llmrouter-session"), own.get("session"), *map(headers.get, _SESSION_HEADERS), *named
    for value in named:
        if value:
            return str(value)[:LONGEST]
    return None


def from_body(said: Any) -> dict[str, str]:
    """What the `llmrouter` object of a body says. Raises InvalidRequest for a name that means nothing."""
    if said is None:
        return {}
    if not isinstance(said, dict):
        raise InvalidRequest(f"{FIELD} must be object", param=FIELD, code="invalid_type")
    own: dict[str, str] = {}
    for key, value in said.items():
        name = key.replace("_", "-")
        if name not in NAMES and name != "session":
            known = ", ".join(("session", *NAMES))
            raise InvalidRequest(f"{FIELD}.{key} means nothing; known are {known}", param=f"{FIELD}.{key}")
        if value is not None:
            own[name] = _text(value)
    return own


def addressed(fields: Fields, model: str) -> Fields:
    """The fields for a model of an upstream, without what is told to the router alone."""
    addressed = fields | {"model": raw(model)}
    addressed.pop(FIELD, None)
    return addressed


def _check_amount(name: str, said: str) -> None:
    try:
        amount = float(said.removesuffix("s") if name == "timeout" else said)
    except ValueError:
        amount = math.nan
    if not 0 <= amount < math.inf:
        what = "USD" if name == "budget" else "seconds"
        raise InvalidRequest(f"x-llmrouter-{name} must be a number of {what}", param=f"x-llmrouter-{name}")


def _text(value: Any) -> str:
    """As a header would say it: lists are joined by commas."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return ",".join([_text(one) for one in value])
    return dumps(value).decode()
