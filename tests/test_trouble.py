from __future__ import annotations

import pytest

from llmrouter.engine import trouble
from llmrouter.errors import InvalidRequest
from llmrouter.types import (
    Attempt,
    Bucket,
    Decision,
    Exhausted,
    Facts,
    Failure,
    Kind,
    Rejected,
    Skip,
    Step,
    Trouble,
    Usage,
    Wire,
)

NOW = 1_000.0


def attempt(kind: Kind, **more: object) -> Attempt:
    return Attempt(
        endpoint="a/m",
        account="a",
        started=NOW,
        first_output=None,
        ended=NOW,
        failure=Failure(**{"kind": kind, "scope": "endpoint", "message": f"it was {kind}", **more}),  # type: ignore[arg-type]
        usage=Usage(),
        cost=0.0,
    )


def skip(reason: str, until: float | None = None) -> Skip:
    return Skip(endpoint="a/m", account="a", reason=reason, until=until)


def explained(*steps: Step, rejected: tuple[Rejected, ...] = ()) -> Trouble:
    facts = Facts(wire=Wire("openai.chat", False), asked="fast")
    decision = Decision(facts=facts, plan=(), rejected=rejected, policy="order", draw=0.0)
    return trouble.explain("req_1", steps, decision, NOW)


@pytest.mark.parametrize(
    ("kind", "status", "code"),
    [
        ("server_error", 502, "upstream_error"),
        ("connect", 502, "upstream_error"),
        ("truncated", 502, "upstream_error"),
        ("malformed_chunk", 502, "upstream_error"),
        ("internal", 502, "upstream_error"),
        ("overloaded", 503, "upstream_overloaded"),
        ("timeout_headers", 504, "upstream_timeout"),
        ("timeout_ttft", 504, "upstream_timeout"),
        ("stall", 504, "upstream_timeout"),
        ("not_found", 404, "model_not_found"),
        ("forbidden_model", 403, "model_not_allowed"),
        ("auth", 502, "upstream_credentials_exhausted"),
        ("payment", 502, "upstream_credentials_exhausted"),
        ("rate_limited", 429, "rate_limit_exceeded"),
        ("quota_exhausted", 429, "rate_limit_exceeded"),
        ("context_length", 400, "context_length_exceeded"),
        ("content_filter", 400, "content_filter"),
        ("invalid_request", 400, "invalid_request_error"),
    ],
)
def test_every_class_has_its_status(kind: Kind, status: int, code: str) -> None:
    what = explained(attempt(kind))
    assert (what.status, what.code) == (status, code)
    assert len(what.steps) == 1


def test_the_requests_own_mistake_comes_before_everything() -> None:
    what = explained(attempt("server_error"), attempt("invalid_request", status=422, code="bad", param="n"))
    assert (what.status, what.code, what.param) == (422, "bad", "n")
    assert what.message == "it was invalid_request"


def test_an_upstreams_401_is_never_shown_as_the_clients() -> None:
    assert explained(attempt("invalid_request", status=401)).status == 400


def test_a_limit_comes_before_other_failures_with_the_earliest_end() -> None:
    what = explained(
        attempt("server_error"),
        attempt("rate_limited", retry_at=NOW + 30),
        skip("limit", NOW + 7),
        attempt("connect"),
    )
    assert (what.status, what.retry_after) == (429, 7.0)


def test_nothing_but_limits_is_a_429_and_anything_else_held_a_503() -> None:
    assert explained(skip("limit", NOW + 5), skip("cooling", NOW + 3)).retry_after == 3.0
    what = explained(skip("breaker", NOW + 5), skip("limit", NOW + 3))
    assert (what.status, what.code, what.retry_after) == (503, "no_healthy_provider", 3.0)


def test_credentials_count_only_when_all_are_bad() -> None:
    assert explained(attempt("auth"), attempt("payment")).code == "upstream_credentials_exhausted"
    assert explained(attempt("connect"), attempt("auth")).code == "upstream_error"


def test_a_503_says_when_to_come_back() -> None:
    assert explained(attempt("overloaded", retry_at=NOW + 12)).retry_after == 12.0
    assert explained(attempt("overloaded")).retry_after == 1.0


def test_nothing_eligible_says_why_for_each() -> None:
    what = explained(rejected=(Rejected("a/m", "ability", "vision"), Rejected("b/m", "context", "100 tokens")))
    assert (what.status, what.code) == (400, "no_eligible_model")
    assert "a/m: ability (vision)" in what.message
    assert explained(rejected=(Rejected("b/m", "context", "9"),)).code == "context_length_exceeded"


def test_a_clients_own_limit_names_it() -> None:
    bucket = Bucket("client:dev", "requests", 5, "minute")
    what = trouble.exhausted("req_1", Exhausted(bucket, NOW + 12), NOW)
    assert (what.status, what.retry_after) == (429, 12.0)
    assert "5 requests per minute" in what.message


def test_a_name_that_is_nothing_is_the_clients_mistake() -> None:
    what = trouble.invalid("req_1", InvalidRequest("no such", param="model", code="model_not_found", status=404))
    assert (what.status, what.code, what.param, what.kind) == (404, "model_not_found", "model", "not_found")
    assert trouble.timed_out("req_1", (), 3.0).status == 504
