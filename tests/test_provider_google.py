from __future__ import annotations

import json
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from llmrouter.provider import Catalogue, read_yaml
from llmrouter.provider.google_errors import google_verdict
from llmrouter.types import Failure, Verdict

NOW = datetime(2026, 11, 20, 12, tzinfo=ZoneInfo("America/Los_Angeles")).timestamp()
MIDNIGHT = datetime(2026, 11, 21, tzinfo=ZoneInfo("America/Los_Angeles")).timestamp()
KEY = "AQ.topsecret-topsecret"


def body(code: int, message: str = "no", status: str = "", *details: Any, listed: bool = False) -> bytes:
    error = {"error": {"code": code, "message": message, "status": status, "details": [*details]}}
    return json.dumps([error] if listed else error).encode()


def judged(status: int, data: bytes, **headers: str) -> Verdict:
    return google_verdict(
        status, {name.replace("_", "-"): value for name, value in headers.items()}, data, NOW, (KEY,)
    )


def failed(status: int, data: bytes, **headers: str) -> Failure:
    failure = judged(status, data, **headers).failure
    assert failure is not None
    return failure


def violations(*ids: str, value: str | None = "10", metric: str = "requests") -> dict[str, Any]:
    found = [{"quotaMetric": metric, "quotaId": id} | ({"quotaValue": value} if value else {}) for id in ids]
    return {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": found}


def retry(delay: str) -> dict[str, Any]:
    return {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}


def reason(name: str) -> dict[str, Any]:
    return {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": name, "domain": "googleapis.com"}


DAY = "GenerateRequestsPerDayPerProjectPerModel-FreeTier"
MINUTE = "GenerateRequestsPerMinutePerProjectPerModel-FreeTier"
TOKENS = "GenerateContentInputTokensPerModelPerMinute-FreeTier"


@pytest.mark.parametrize(
    ("status", "data", "kind", "scope"),
    [
        (400, body(400, "API key not valid. Please pass a valid API key.", "INVALID_ARGUMENT"), "auth", "account"),
        (400, body(400, "x", "INVALID_ARGUMENT", reason("API_KEY_INVALID")), "auth", "account"),
        (403, body(403, "Your API key was reported as leaked.", "PERMISSION_DENIED"), "auth", "account"),
        (403, body(403, "x", "PERMISSION_DENIED", reason("SERVICE_DISABLED")), "auth", "account"),
        (403, body(403, "x", "PERMISSION_DENIED", reason("BILLING_DISABLED")), "payment", "account"),
        (403, body(403, "x", "PERMISSION_DENIED"), "forbidden_model", "account_model"),
        (400, body(400, "Please enable billing on project 1", "FAILED_PRECONDITION"), "payment", "account"),
        (400, body(400, "User location is not supported", "FAILED_PRECONDITION"), "forbidden_model", "account"),
        (402, body(402, "no", "RESOURCE_EXHAUSTED"), "payment", "account"),
        (
            400,
            body(400, "The input token count (12) exceeds the maximum number of tokens allowed (8)."),
            "context_length",
            "request",
        ),
        (400, body(400, "Please use a valid role: user, model.", "INVALID_ARGUMENT"), "invalid_request", "request"),
        (404, body(404, "models/x is not found", "NOT_FOUND"), "not_found", "endpoint"),
        (
            503,
            body(503, "The model is overloaded. Try again later.", "UNAVAILABLE"),
            "overloaded",
            "endpoint",
        ),
        (500, body(500, "x", "INTERNAL"), "server_error", "endpoint"),
        (504, body(504, "x", "DEADLINE_EXCEEDED"), "server_error", "endpoint"),
        (429, body(429, "Resource exhausted.", "RESOURCE_EXHAUSTED"), "rate_limited", "account_model"),
        (
            429,
            body(429, "Quota exceeded, limit: 0, model: x", "RESOURCE_EXHAUSTED"),
            "forbidden_model",
            "account_model",
        ),
        (400, body(400, "API key not valid", listed=True), "auth", "account"),
        (200, body(503, "overloaded", "UNAVAILABLE"), "overloaded", "endpoint"),
        (502, b"<html>bad gateway</html>", "server_error", "endpoint"),
        (429, b"[]", "rate_limited", "account_model"),
        (401, b'{"error": "who?"}', "auth", "account"),
    ],
)
def test_errors_mean_what_their_bodies_say(status: int, data: bytes, kind: str, scope: str) -> None:
    failure = failed(status, data)
    assert (failure.kind, failure.scope) == (kind, scope)


def test_a_days_quota_lasts_to_midnight_in_california_whatever_the_delay() -> None:
    failure = failed(429, body(429, "no", "RESOURCE_EXHAUSTED", violations(DAY), retry("26s")))
    assert (failure.kind, failure.scope, failure.retry_at) == ("quota_exhausted", "account_model", MIDNIGHT)


def test_a_delay_of_hours_is_truer_than_the_calendar() -> None:
    failure = failed(429, body(429, "no", "RESOURCE_EXHAUSTED", violations(DAY), retry("36000.5s")))
    assert failure.retry_at == pytest.approx(NOW + 36000.5)


@pytest.mark.parametrize(
    ("data", "at"),
    [
        (body(429, "no", "", violations(MINUTE), retry("34.4s")), 34.4),
        (body(429, "no", "", retry("55s")), 55.0),
        (body(429, "Please retry in 20.22s."), 20.22),
        (body(429, "Please retry in 1m2.5s.", "", violations(MINUTE)), 62.5),
    ],
)
def test_a_minutes_quota_lasts_for_the_delay(data: bytes, at: float) -> None:
    failure = failed(429, data)
    assert failure.kind == "rate_limited"
    assert failure.retry_at == pytest.approx(NOW + at)


def test_a_long_delay_alone_is_a_quota() -> None:
    assert failed(429, body(429, "no", "", retry("7200s"))).kind == "quota_exhausted"
    assert failed(429, b"", retry_after="7200").kind == "quota_exhausted"


def test_of_several_violations_the_longest_counts() -> None:
    failure = failed(429, body(429, "no", "", violations(MINUTE, DAY, TOKENS), retry("3s")))
    assert (failure.kind, failure.retry_at) == ("quota_exhausted", MIDNIGHT)


def test_a_quota_of_nothing_is_a_model_that_the_account_may_not_use() -> None:
    failure = failed(429, body(429, "no", "", violations(DAY, value="0"), retry("3s")))
    assert (failure.kind, failure.scope, failure.retry_at) == ("forbidden_model", "account_model", None)


def test_the_limits_that_a_refusal_states_are_seen() -> None:
    stated = violations(DAY, value="250"), violations(TOKENS, value="250000", metric="input_token_count")
    seen = judged(429, body(429, "no", "", *stated, retry("26s"))).sightings
    assert [(one.scope, one.unit, one.window, one.limit, one.remaining) for one in seen] == [
        ("account_model", "requests", "day", 250.0, 0.0),
        ("account_model", "input_tokens", "minute", 250000.0, 0.0),
    ]
    assert seen[0].resets_at == MIDNIGHT
    assert seen[1].resets_at is not None
    assert NOW < seen[1].resets_at <= NOW + 60
    bare = judged(
        429, body(429, "no", "", violations("RequestsPerHourPerProject", value=None, metric=""))
    ).sightings
    assert [(one.scope, one.window, one.limit, one.resets_at) for one in bare] == [("account", "hour", None, None)]


def test_a_model_that_failed_is_degraded() -> None:
    ended = {"candidates": [{"finishReason": "MALFORMED_FUNCTION_CALL", "finishMessage": "print(x)"}]}
    failure = failed(200, json.dumps(ended).encode())
    assert (failure.kind, failure.code) == ("degraded", "MALFORMED_FUNCTION_CALL")
    assert "print(x)" in failure.message


def test_no_secret_is_repeated() -> None:
    failure = failed(403, body(403, f"bad key {KEY}", KEY, reason(KEY)))
    assert KEY not in repr(failure)
    ended = {"candidates": [{"finishReason": "MALFORMED_RESPONSE", "finishMessage": f"key {KEY}"}]}
    assert KEY not in repr(failed(200, json.dumps(ended).encode()))


DATA = """
models:
  big-1: {context_window: 10, price: {input: 1, output: 2}, quality: 0.9}
  vec-1: {dialects: [gemini.embed], abilities: []}
generations:
  - {match: big-1, levels: [low]}
  - {match: big, budget: [1, 2]}
"""


SIGNED = frozenset({"gemini.generate"})


def test_a_catalogue_is_data() -> None:
    found = Catalogue.of(read_yaml(DATA))
    card = found.card("big-1")
    assert (card.window, card.quality, card.keeps, found.card("vec-1").keeps) == (10, 0.9, SIGNED, frozenset())
    assert (found.card("other").keeps, found.card("other").price) == (SIGNED, None)
    spoken = ("gemini.generate", "gemini.embed")
    assert [found.dialects(name, spoken) for name in ("big-1", "vec-1", "x")] == [spoken[:1], spoken[1:], spoken]
    first, second = found.generation("big-1"), found.generation("big-2")
    assert first is not None
    assert second is not None
    assert (first.levels, second.budget, found.generation("x")) == (["low"], [1, 2], None)
