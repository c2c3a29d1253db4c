"""The error envelope of Messages.

Statuses and types are those of the API's error reference, so that the SDK raises the exception its users expect.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmrouter.types import Trouble

from .errors import details

TYPES: Mapping[int, str] = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}


def envelope(trouble: Trouble) -> dict[str, Any]:
    """`{"type": "error", "error": {type, message, llmrouter}, "request_id"}`."""
    return {
        "type": "error",
        "error": {"type": _type(trouble), "message": trouble.message, "llmrouter": details(trouble)},
        "request_id": trouble.request_id or None,
    }


def _type(trouble: Trouble) -> str:
    if trouble.status in TYPES:
        return TYPES[trouble.status]
    if trouble.status < 500:
        return "invalid_request_error"
    return "overloaded_error" if trouble.kind == "overloaded" else "api_error"
