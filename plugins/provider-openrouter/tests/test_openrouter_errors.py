from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from llmrouter_provider_openrouter import build
from llmrouter_provider_openrouter.config import OpenRouterSettings
from llmrouter_provider_openrouter.errors import AVAILABILITIES, INVALID, TYPES

from llmrouter.provider import AccountSettings, Secret
from llmrouter.testing.context import START, FakeContext
from llmrouter.types import Failure, Sighting

KEY = "sk-or-topsecret-0123456789"
PROVIDER = build(
    OpenRouterSettings(name="or", plugin="openrouter", accounts=(AccountSettings(id="or", api_key=Secret(KEY)),)),
    FakeContext("or"),
)


def failure(
    status: int,
    message: str = "no",
    headers: Mapping[str, str] | None = None,
    code: int | None = None,
    **error: Any,
) -> Failure:
    body = {"error": {"code": status if code is None else code, "message": message, **error}, "user_id": "u"}
    found = PROVIDER.judge(status, headers or {}, json.dumps(body).encode()).failure
    assert found
    return found


def kind(status: int, message: str = "no", **error: Any) -> tuple[str, str]:
    found = failure(status, message, **error)
    return found.kind, found.scope


@pytest.mark.parametrize("error_type", sorted([*TYPES, *INVALID]))
def test_its_own_name_of_an_error_wins_over_the_status(error_type: str) -> None:
    expected = TYPES[error_type][0] if error_type in TYPES else "invalid_request"
    for status in (400, 500):
        found = failure(status, metadata={"error_type": error_type})
        assert (found.kind, found.code) == (expected, error_type)


def test_an_error_without_a_name_is_what_its_status_says() -> None:
    assert kind(502, metadata={"error_type": "unmapped"}) == ("server_error", "endpoint")
    assert kind(401) == ("auth", "account")
    assert kind(402, "Insufficient credits") == ("payment", "account")
    assert kind(408) == ("timeout_headers", "endpoint")
    assert kind(524)[0] == "server_error"
    assert kind(529)[0] == "overloaded"


@pytest.mark.parametrize("code", sorted(AVAILABILITIES))
def test_availability_says_whether_it_may_come_back(code: str) -> None:
    expected, scope = AVAILABILITIES[code]
    found = failure(404, availability={"code": code})
    assert (found.kind, found.code) == (expected, code)
    assert scope in (None, found.scope)


def test_of_an_unknown_availability_only_retryable_counts() -> None:
    assert kind(404, availability={"code": "new", "retryable": True})[0] == "overloaded"
    assert kind(404, availability={"code": "new", "retryable": False})[0] == "not_found"
    assert kind(404, availability={"code": "no_endpoints", "retryable": True})[0] == "overloaded"


def test_availability_tells_when_to_come_back() -> None:
    said = {"code": "capacity_exhausted", "retryable": True, "retry_after": 12}
    assert failure(503, availability=said).retry_at == pytest.approx(START + 12)


def test_what_a_request_rules_out_itself_is_charged_to_nobody() -> None:
    assert kind(404, availability={"code": "constraint_filtered"}) == ("degraded", "request")


def test_moderation_is_told_from_a_forbidden_model() -> None:
    metadata = {"reasons": ["violence"], "flagged_input": "…", "provider_name": "Acme", "model_slug": "acme/large"}
    assert kind(403, metadata=metadata)[0] == "content_filter"
    assert kind(403)[0] == "forbidden_model"


@pytest.mark.parametrize("status", [402, 403])
def test_a_budget_that_is_used_up_holds_the_account_until_it_resets(status: int) -> None:
    found = failure(
        status, "The budget of this workspace is used up", metadata={"resets_at": "2001-09-09T02:46:40Z"}
    )
    assert (found.kind, found.scope) == ("quota_exhausted", "account")
    assert found.retry_at == START + 3600
    assert kind(status, "Key limit exceeded (monthly limit)") == ("quota_exhausted", "account")


def test_budgets_of_calls_under_way_and_dear_requests_are_no_empty_account() -> None:
    in_flight = failure(402, metadata={"error_type": "payment_required", "reason": "in_flight_budget_exhausted"})
    assert (in_flight.kind, in_flight.scope) == ("rate_limited", "account")
    assert kind(402, metadata={"reason": "weight_exceeds_budget"}) == ("payment", "request")


def test_the_free_calls_of_a_day_are_a_quota_until_they_reset() -> None:
    reset = str(int((START + 7200) * 1000))  # epoch, in milliseconds
    headers = {"x-ratelimit-limit": "50", "x-ratelimit-remaining": "0", "x-ratelimit-reset": reset}
    found = failure(429, "Rate limit exceeded: free-models-per-day. Add 10 credits", headers)
    assert (found.kind, found.scope, found.retry_at) == ("quota_exhausted", "account_model", START + 7200)
    unsaid = failure(429, "Rate limit exceeded: free-models-per-day")
    assert (unsaid.kind, unsaid.retry_at) == ("quota_exhausted", 1_000_080_000.0), "midnight UTC"
    per_minute = failure(429, "Rate limit exceeded: free-models-per-min", {"retry-after": "3"})
    assert (per_minute.kind, per_minute.retry_at) == ("rate_limited", START + 3)


def test_limits_are_seen_on_refusals() -> None:
    headers = {"X-RateLimit-Limit": "20", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1000000060000"}
    seen = PROVIDER.judge(429, {name.lower(): value for name, value in headers.items()}, b"{}").sightings
    assert seen == (
        Sighting(
            scope="account_model", unit="requests", window="minute", limit=20, remaining=0, resets_at=START + 60
        ),
    )


def test_what_the_vendor_behind_it_said_is_told_without_secrets() -> None:
    metadata = {"provider_name": "Acme", "raw": f"temporarily rate-limited upstream, {KEY}"}
    found = failure(429, "Provider returned error", metadata=metadata)
    assert found.kind == "rate_limited"
    assert found.message.startswith("Provider returned error: temporarily rate-limited upstream")
    assert KEY not in found.message


def test_an_error_inside_a_good_status_is_the_one_it_names() -> None:
    found = failure(200, "Provider disconnected", code=502, metadata={"error_type": "provider_unavailable"})
    assert (found.kind, found.status) == ("server_error", 502)
    assert failure(200, "too much", code=429).kind == "rate_limited"


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b'{"error":"x"}', b'{"error":{"metadata":[],"availability":1}}']
)
def test_a_body_that_explains_nothing_is_what_its_status_says(body: bytes) -> None:
    found = PROVIDER.judge(500, {}, body).failure
    assert found
    assert found.kind == "server_error"


def test_a_good_head_is_no_failure() -> None:
    assert PROVIDER.judge(200, {}, b"").failure is None
