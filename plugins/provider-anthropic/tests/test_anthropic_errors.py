"""What Anthropic was seen to say, against what it is taken for."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from llmrouter_provider_anthropic import build
from llmrouter_provider_anthropic.config import AnthropicSettings

from llmrouter.provider import AccountSettings, Secret
from llmrouter.testing.context import START, FakeContext
from llmrouter.types import Failure, Verdict

FOLDER = Path(__file__).parents[4] / "shared" / "data"


def judge(status: int, headers: dict[str, str], body: bytes) -> Verdict:
    account = AccountSettings(id="up", api_key=Secret("topsecret-0123456789"))
    config = AnthropicSettings(name="up", plugin="anthropic", accounts=(account,))
    return build(config, FakeContext("up")).judge(status, headers, body)


def failure(status: int, type_: str, message: str = "no", code: str | None = None) -> Failure:
    error: dict[str, Any] = {"type": type_, "message": message}
    if code:
        error["details"] = {"error_code": code}
    body = {"type": "error", "error": error, "request_id": "req_1"}
    found = judge(status, {}, json.dumps(body).encode()).failure
    assert found
    return found


@pytest.mark.parametrize(
    ("status", "type_", "message", "code", "kind"),
    [
        (400, "invalid_request_error", "messages: roles must alternate", None, "invalid_request"),
        (400, "invalid_request_error", "prompt is too long: 214315 tokens > 200000", None, "context_length"),
        (400, "invalid_request_error", "input length and `max_tokens` exceed context limit: 1 + 2 > 3", None,
         "context_length"),
        (400, "invalid_request_error", "Your credit balance is too low to access the API.", None, "payment"),
        (400, "invalid_request_error", "Usage limits: you will regain access on 2026-12-01.", None, "payment"),
        (400, "invalid_request_error", "This workspace has reached its spend limit.", None, "payment"),
        (400, "invalid_request_error", "Output blocked by content filtering policy", None, "content_filter"),
        (401, "authentication_error", "invalid x-api-key", None, "auth"),
        (402, "billing_error", "no", None, "payment"),
        (402, "billing_error", "no", "linked_organization_billing_unavailable", "payment"),
        (403, "permission_error", "Your API key may not use this model", None, "forbidden_model"),
        (404, "not_found_error", "model: nobody", None, "not_found"),
        (413, "request_too_large", "Request exceeds the maximum size", None, "invalid_request"),
        (429, "rate_limit_error", "This would exceed your rate limit", None, "rate_limited"),
        (429, "rate_limit_error", "Slow down", "ramp_limit_exceeded", "rate_limited"),
        (429, "rate_limit_error", "no", "enforced_spend_limit_reached", "payment"),
        (429, "rate_limit_error", "no", "contract_spend_limit_reached", "payment"),
        (429, "rate_limit_error", "Your tier's monthly spend cap is reached", None, "payment"),
        (500, "api_error", "Internal server error", None, "server_error"),
        (504, "timeout_error", "Request timed out", None, "timeout_headers"),
        (529, "overloaded_error", "Overloaded", None, "overloaded"),
        (200, "overloaded_error", "Overloaded", None, "overloaded"),
        (200, "api_error", "Internal server error", None, "server_error"),
        (200, "invalid_request_error", "no", None, "invalid_request"),
    ],
)  # fmt: skip
def test_an_error_is_taken_for_what_it_means(
    status: int, type_: str, message: str, code: str | None, kind: str
) -> None:
    found = failure(status, type_, message, code)
    assert (found.kind, found.status) == (kind, status)
    assert found.code == (code or type_)


def test_a_ramp_is_a_limit_of_the_whole_account() -> None:
    assert failure(429, "rate_limit_error", "no", "ramp_limit_exceeded").scope == "account"


def test_limits_and_the_end_of_them_are_read_from_the_headers() -> None:
    headers = {
        "anthropic-ratelimit-requests-limit": "50",
        "anthropic-ratelimit-requests-remaining": "49",
        "anthropic-ratelimit-requests-reset": "2001-09-09T01:47:40Z",
        "anthropic-ratelimit-input-tokens-limit": "30000",
        "anthropic-ratelimit-input-tokens-remaining": "0",
        "anthropic-ratelimit-input-tokens-reset": "2001-09-09T03:46:52+02:00",
    }
    seen = {one.unit: one for one in judge(200, headers, b"").sightings}
    assert (seen["requests"].limit, seen["requests"].remaining) == (50, 49)
    assert (seen["input_tokens"].limit, seen["input_tokens"].remaining) == (30_000, 0)
    assert (seen["requests"].resets_at, seen["input_tokens"].resets_at) == (START + 60, START + 12)


@pytest.mark.recordings
def test_every_fixture_is_classified_as_expected() -> None:
    if not (FOLDER / "errors" / "dev.json").is_file():
        if os.environ.get("LLMROUTER_REQUIRE_RECORDINGS") == "1":
            pytest.fail("the errors are not beside this checkout")
        pytest.skip("the errors are not beside this checkout")
    errors = json.loads((FOLDER / "errors" / "dev.json").read_text())["errors"]
    ours = [one for one in errors if one["provider"] == "anthropic"]
    assert len(ours) >= 2
    for one in ours:
        found = judge(one["status"], one["headers"], json.dumps(one["body"]).encode()).failure
        assert found
        assert found.kind == one["expect"]["class"], one["id"]
        if "retry-after" in one["headers"]:
            assert found.retry_at == START + float(one["headers"]["retry-after"])
