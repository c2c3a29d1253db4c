"""What the upstream says when it does not answer: OpenAI's error object with its status, type and code."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

TYPES: Mapping[int, tuple[str, str]] = {
    400: ("invalid_request_error", "invalid_value"),
    401: ("authentication_error", "invalid_api_key"),
    402: ("billing_error", "insufficient_quota"),
    403: ("permission_error", "model_not_allowed"),
    404: ("invalid_request_error", "model_not_found"),
    413: ("invalid_request_error", "request_too_large"),
    429: ("rate_limit_error", "rate_limit_exceeded"),
    500: ("server_error", "server_error"),
    502: ("server_error", "bad_gateway"),
    503: ("server_error", "service_unavailable"),
    504: ("server_error", "gateway_timeout"),
    529: ("overloaded_error", "overloaded"),
}
"""Error type and code by status, as OpenAI's reference names them."""


class Refused(Exception):
    """A call that gets an error in place of an answer. `retry_after` is in seconds."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str = "",
        param: str | None = None,
        retry_after: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code or TYPES[status][1]
        self.param = param
        self.headers = dict(headers or {})
        if retry_after is not None:
            self.headers["retry-after"] = str(math.ceil(retry_after))
            self.headers["retry-after-ms"] = str(math.ceil(retry_after * 1000))

    def body(self) -> Mapping[str, Any]:
        kind = TYPES[self.status][0]
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}
