"""What an answer of this upstream says: failures by code and status, limits by header."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from llmrouter.types import Failure, Kind, Scope, Sighting, Verdict

CODES: Mapping[str, tuple[Kind, Scope]] = {
    "context_length_exceeded": ("context_length", "request"),
    "insufficient_quota": ("payment", "account"),
    "model_not_found": ("not_found", "endpoint"),
}
STATUSES: Mapping[int, tuple[Kind, Scope]] = {
    401: ("auth", "account"),
    402: ("payment", "account"),
    403: ("forbidden_model", "account_model"),
    404: ("not_found", "endpoint"),
    413: ("context_length", "request"),
    529: ("overloaded", "endpoint"),
}
SOON = 120.0
"""Seconds; a limit that lasts longer is a used-up quota."""
LONGEST = 32 * 86400.0
MESSAGE = 500
"""Characters of an upstream's words that are kept."""


def judge(
    status: int, headers: Mapping[str, str], body: bytes, *, now: float, window: str, secrets: Iterable[str]
) -> Verdict:
    """`now` is the router's time in seconds, `window` that of the configured quota ("" for none)."""
    seen = _sightings(headers, now, window)
    if status < 400 and not body:
        return Verdict(None, seen)
    error = _error(body)
    wait = _wait(headers)
    kind, scope = _class(status, str(error.get("code")), wait)
    message, code = str(error.get("message") or f"status {status}"), str(error.get("code") or "")
    param = error.get("param")
    at_fault = param if isinstance(param, str) else ""
    for secret in secrets:
        message, code, at_fault = (text.replace(secret, "…") for text in (message, code, at_fault))
    failure = Failure(
        kind=kind,
        scope=scope,
        message=message[:MESSAGE],
        status=status,
        retry_at=None if wait is None else now + wait,
        code=code[:MESSAGE],
        param=at_fault[:MESSAGE] or None,
    )
    return Verdict(failure, seen)


def _error(body: bytes) -> Mapping[str, Any]:
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return {}
    error = value.get("error") if isinstance(value, dict) else None
    return error if isinstance(error, dict) else {}


def _class(status: int, code: str, wait: float | None) -> tuple[Kind, Scope]:
    if code in CODES:
        return CODES[code]
    if status == 429:
        return ("quota_exhausted" if wait and wait > SOON else "rate_limited"), "account_model"
    if status == 503 and wait is not None:
        return "overloaded", "endpoint"
    if status in STATUSES:
        return STATUSES[status]
    return ("invalid_request", "request") if 400 <= status < 500 else ("server_error", "endpoint")


def _wait(headers: Mapping[str, str]) -> float | None:
    exact = _seconds(headers.get("retry-after-ms", ""))
    return exact / 1000 if exact is not None else _seconds(headers.get("retry-after", ""))


def _seconds(text: str) -> float | None:
    """A number of seconds, with or without its unit; what is none, or no time to wait, is no hint."""
    try:
        value = float(text.removesuffix("s"))
    except ValueError:
        return None
    return min(value, LONGEST) if value >= 0 and not math.isnan(value) else None


def _sightings(headers: Mapping[str, str], now: float, window: str) -> tuple[Sighting, ...]:
    limit = _seconds(headers.get("x-ratelimit-limit-requests", ""))
    remaining = _seconds(headers.get("x-ratelimit-remaining-requests", ""))
    reset = _seconds(headers.get("x-ratelimit-reset-requests", ""))
    if not window or remaining is None:
        return ()
    resets_at = None if reset is None else now + reset
    return (
        Sighting(
            scope="account_model",
            unit="requests",
            window=window,
            limit=limit,
            remaining=remaining,
            resets_at=resets_at,
        ),
    )
