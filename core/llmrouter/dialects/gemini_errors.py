"""The error envelope of Google's APIs, `google.rpc.Status`; what is our own stands beside it under `llmrouter`.

Source: google/rpc/code.proto for the names, google/rpc/error_details.proto for the details.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmrouter.types import Trouble

from .errors import details as told

STATUSES: Mapping[int, str] = {
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    408: "DEADLINE_EXCEEDED",
    409: "ABORTED",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    501: "UNIMPLEMENTED",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
    529: "UNAVAILABLE",
}
"""Names of statuses; else 4xx is INVALID_ARGUMENT and 5xx INTERNAL."""

_TYPE = "type.googleapis.com/google.rpc."


def envelope(trouble: Trouble) -> dict[str, Any]:
    """`{"error": {code, message, status, details, llmrouter}}`."""
    details: list[dict[str, Any]] = [
        {"@type": f"{_TYPE}ErrorInfo", "reason": (trouble.code or trouble.kind).upper(), "domain": "llmrouter"}
    ]
    if trouble.param:
        violation = {"field": trouble.param, "description": trouble.message}
        details.append({"@type": f"{_TYPE}BadRequest", "fieldViolations": [violation]})
    if trouble.retry_after is not None:
        details.append({"@type": f"{_TYPE}RetryInfo", "retryDelay": f"{trouble.retry_after:.3f}s"})
    fallback = "INVALID_ARGUMENT" if trouble.status < 500 else "INTERNAL"
    return {
        "error": {
            "code": trouble.status,
            "message": trouble.message,
            "status": STATUSES.get(trouble.status, fallback),
            "details": details,
            "llmrouter": told(trouble),
        }
    }
