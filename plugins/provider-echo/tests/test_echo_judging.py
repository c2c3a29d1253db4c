"""Statuses, codes and hints as failure classes."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from llmrouter.testing.context import START


@pytest.mark.parametrize(
    ("status", "code", "headers", "kind", "scope"),
    [
        (400, "invalid_value", {}, "invalid_request", "request"),
        (400, "context_length_exceeded", {}, "context_length", "request"),
        (401, "", {}, "auth", "account"),
        (402, "", {}, "payment", "account"),
        (403, "", {}, "forbidden_model", "account_model"),
        (404, "", {}, "not_found", "endpoint"),
        (413, "", {}, "context_length", "request"),
        (418, "", {}, "invalid_request", "request"),
        (429, "", {}, "rate_limited", "account_model"),
        (429, "", {"retry-after": "120"}, "rate_limited", "account_model"),
        (429, "", {"retry-after": "121"}, "quota_exhausted", "account_model"),
        (429, "insufficient_quota", {}, "payment", "account"),
        (500, "", {}, "server_error", "endpoint"),
        (503, "", {}, "server_error", "endpoint"),
        (503, "", {"retry-after": "1"}, "overloaded", "endpoint"),
        (504, "", {}, "server_error", "endpoint"),
        (529, "", {}, "overloaded", "endpoint"),
    ],
)
def test_a_failure_has_its_class(
    client: Any, status: int, code: str, headers: dict[str, str], kind: str, scope: str
) -> None:
    body = msgspec.json.encode({"error": {"message": "why", "code": code, "param": "n"}})
    failure = client.upstream.judge(status, headers, body).failure
    assert (failure.kind, failure.scope) == (kind, scope)
    assert (failure.message, failure.code, failure.param, failure.status) == ("why", code, "n", status)


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "7", "retry-after-ms": "6500"}, 6.5),
        ({"retry-after": "inf"}, 32 * 86_400.0),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "tomorrow"}, None),
        ({}, None),
    ],
)
def test_a_hint_is_a_time(client: Any, headers: dict[str, str], wait: float | None) -> None:
    retry_at = client.upstream.judge(429, headers, b"").failure.retry_at
    assert retry_at == (None if wait is None else START + wait)


def test_a_long_message_is_shortened(client: Any) -> None:
    body = msgspec.json.encode({"error": {"message": "x" * 5_000}})
    assert len(client.upstream.judge(500, {}, body).failure.message) == 500
