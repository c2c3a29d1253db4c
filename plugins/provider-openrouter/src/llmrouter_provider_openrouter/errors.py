"""What OpenRouter says when it refuses: its own names for errors, which mean more than their status.

Source: the errors of its SDK (`error.metadata.error_type`, `error.availability`), its pages on errors and limits.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from llmrouter.types import Kind, Scope

Meaning = tuple[Kind, Scope | None]
"""A class of failure, and its scope where that is not the class's own."""

TYPES: Mapping[str, Meaning] = {
    "context_length_exceeded": ("context_length", None),
    "max_tokens_exceeded": ("context_length", None),
    "token_limit_exceeded": ("context_length", None),
    "string_too_long": ("context_length", None),
    "authentication": ("auth", None),
    "permission_denied": ("forbidden_model", None),
    "payment_required": ("payment", None),
    "rate_limit_exceeded": ("rate_limited", None),
    "provider_overloaded": ("overloaded", None),
    "provider_unavailable": ("server_error", None),
    "not_found": ("not_found", None),
    "content_policy_violation": ("content_filter", None),
    "refusal": ("content_filter", None),
    "server": ("server_error", None),
    "timeout": ("timeout_headers", None),
}
"""`error.metadata.error_type`; `unmapped` says nothing."""

INVALID = frozenset(
    {
        "invalid_request", "invalid_prompt", "precondition_failed", "payload_too_large", "unprocessable",
        "invalid_image", "image_too_large", "image_too_small", "unsupported_image_format", "image_not_found",
        "image_download_failed",
    }
)  # fmt: skip
"""Those that are the request's fault."""

AVAILABILITIES: Mapping[str, Meaning] = {
    "model_not_found": ("not_found", None),
    "model_deprecated": ("not_found", None),
    "free_variant_ended": ("not_found", None),
    "no_endpoints": ("not_found", None),
    "wrong_endpoint": ("not_found", "request"),
    "region_restricted": ("forbidden_model", None),
    "privacy_restricted": ("forbidden_model", "request"),
    "constraint_filtered": ("degraded", "request"),
    "capacity_exhausted": ("overloaded", None),
    "temporarily_unavailable": ("overloaded", None),
    "model_unavailable_upstream": ("overloaded", None),
}
"""`error.availability.code`. What a request rules out itself is charged to nobody: the next one may be served."""

BUDGETS: Mapping[str, Meaning] = {
    "in_flight_budget_exhausted": ("rate_limited", "account"),
    "weight_exceeds_budget": ("payment", "request"),
}
"""Budgets that calls under way have taken, and requests that are too dear for what is left."""

_BUDGET = re.compile(
    r"\b(budget|spend(ing)? (limit|cap)|key limit|(credit|usage|weekly|monthly|daily) limit)\b", re.I
)
_PER_DAY = re.compile(r"\b(free-models-)?per[- ]day\b|daily limit", re.I)


class Refused(msgspec.Struct, frozen=True, gc=False):
    """The parts of an error that classify it."""

    metadata: dict[str, Any] = {}
    availability: dict[str, Any] = {}
    message: str = ""


def opened(body: bytes) -> Refused:
    """The error in a body; an empty one where there is none to be read."""
    try:
        said = msgspec.json.decode(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return Refused()
    error = _object(_object(said).get("error"))
    message = error.get("message")
    return Refused(
        _object(error.get("metadata")),
        _object(error.get("availability")),
        message if isinstance(message, str) else "",
    )


def meaning(status: int, error: Refused) -> Meaning | None:
    """What the error means; None leaves it to its status."""
    kind = str(error.metadata.get("error_type"))
    if status in (402, 403) and (found := _spent(error)):
        return found
    if status == 429 and _PER_DAY.search(error.message):
        return "quota_exhausted", None
    if kind in INVALID:
        return "invalid_request", None
    if kind in TYPES:
        return TYPES[kind]
    if error.availability:
        return _available(error.availability)
    if status == 403 and error.metadata.get("reasons"):
        return "content_filter", None
    return None


def _spent(error: Refused) -> Meaning | None:
    """A 402 or 403 that says which budget is used up."""
    codes = [value for value in error.metadata.values() if isinstance(value, str)]
    if known := next((BUDGETS[one] for one in codes if one in BUDGETS), None):
        return known
    if error.metadata.get("resets_at") or _BUDGET.search(error.message):
        return "quota_exhausted", "account"
    return None


def _available(said: Mapping[str, Any]) -> Meaning:
    """A known code, else what `retryable` says."""
    known = AVAILABILITIES.get(str(said.get("code")))
    if known and not (said.get("retryable") is True and known[0] == "not_found"):
        return known
    return ("overloaded", None) if said.get("retryable") else ("not_found", None)


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
