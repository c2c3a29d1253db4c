"""The error envelope of the OpenAI family.

Statuses and types are those of the API's error reference, so that the SDKs raise the exception their users
expect; the router's own class and every attempt stand beside them under `llmrouter`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmrouter.types import Attempt, Trouble

TYPES: Mapping[int, str] = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    408: "timeout",
    429: "rate_limit_error",
    504: "timeout",
    529: "overloaded_error",
}


def envelope(trouble: Trouble) -> dict[str, Any]:
    """`{"error": {message, type, param, code, llmrouter}}`: all four keys of the API always stand there."""
    return {
        "error": {
            "message": trouble.message,
            "type": _type(trouble),
            "param": trouble.param,
            "code": trouble.code or trouble.kind,
            "llmrouter": details(trouble),
        }
    }


def details(trouble: Trouble) -> dict[str, Any]:
    """What every envelope says of the router's own: the class of the failure, and every attempt."""
    return {
        "class": trouble.kind,
        "request_id": trouble.request_id,
        "attempts": [_attempt(step) for step in trouble.steps if isinstance(step, Attempt)],
    }


def _type(trouble: Trouble) -> str:
    if trouble.status in TYPES:
        return TYPES[trouble.status]
    if trouble.status < 500:
        return "invalid_request_error"
    return "overloaded_error" if trouble.kind == "overloaded" else "server_error"


def _attempt(attempt: Attempt) -> dict[str, Any]:
    failure = attempt.failure
    return {
        "endpoint": attempt.endpoint,
        "account": attempt.account,
        "class": failure.kind if failure else None,
        "status": failure.status if failure else None,
        "message": failure.message if failure else "",
    }
