"""What a client is told when its request failed: the most actionable cause of all that went wrong."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from llmrouter.errors import InvalidRequest
from llmrouter.types import Attempt, Decision, Exhausted, Failure, Kind, Skip, Step, Trouble

OF_THE_REQUEST: Mapping[Kind, str] = {
    "invalid_request": "invalid_request_error",
    "context_length": "context_length_exceeded",
    "content_filter": "content_filter",
}
LIMITS: frozenset[Kind] = frozenset({"rate_limited", "quota_exhausted"})
CREDENTIALS = frozenset({"auth", "payment"})
"""Classes of failures and codes of holds alike."""
STATUS: Mapping[Kind, tuple[int, str]] = {
    "overloaded": (503, "upstream_overloaded"),
    "timeout_headers": (504, "upstream_timeout"),
    "timeout_ttft": (504, "upstream_timeout"),
    "stall": (504, "upstream_timeout"),
    "not_found": (404, "model_not_found"),
    "forbidden_model": (403, "model_not_allowed"),
}
LIMIT_HOLDS = ("limit", "cooling")


def explain(
    request_id: str, steps: Sequence[Step], decision: Decision, now: float, broken: Failure | None = None
) -> Trouble:
    """The trouble that says what the client can do, with every attempt beside it.

    Of an answer that was `broken` off it says why: what came of going on is beside the point.
    """
    if broken:
        return _failed(request_id, steps, broken, None)
    failures = [step.failure for step in steps if isinstance(step, Attempt) and step.failure]
    skips = [step for step in steps if isinstance(step, Skip)]
    for failure in failures:
        if failure.kind in OF_THE_REQUEST:
            return _refused(request_id, steps, failure)
    if any(failure.kind in LIMITS for failure in failures) or _all_limited(failures, skips):
        return _limited(request_id, steps, failures, skips, now)
    if {*(failure.kind for failure in failures), *(skip.reason for skip in skips)} <= CREDENTIALS and steps:
        return _credentials(request_id, steps)
    if failures:
        return _failed(request_id, steps, failures[0], _wait(_times(failures, skips), now))
    return _unavailable(request_id, steps, skips, now) if skips else _nothing_fits(request_id, decision)


def invalid(request_id: str, error: InvalidRequest) -> Trouble:
    """A request that names what is not there, or cannot be served as it stands."""
    return Trouble(
        status=error.status,
        kind="not_found" if error.status == 404 else "invalid_request",
        code=error.code,
        message=str(error),
        param=error.param,
        request_id=request_id,
    )


def exhausted(request_id: str, refusal: Exhausted, now: float) -> Trouble:
    """A client's own limit is used up."""
    bucket = refusal.bucket
    what = f"{bucket.limit:g} {bucket.unit}" + (f" per {bucket.window}" if bucket.window else "")
    return Trouble(
        status=429,
        kind="rate_limited",
        code="rate_limit_exceeded",
        message=f"The limit of this key is used up: {what}.",
        retry_after=_wait([refusal.retry_at], now),
        request_id=request_id,
    )


def waited(request_id: str, steps: Sequence[Step], *, full: bool, seconds: float, now: float) -> Trouble:
    """Everything is at its limit, and the queue for it was full, or did not get as far in time."""
    message = (
        "Too many requests wait for a limit to pass."
        if full
        else (f"Waited {seconds:.1f} s for a limit to pass, in vain.")
    )
    return Trouble(
        status=429,
        kind="rate_limited",
        code="queue_full" if full else "queue_timeout",
        message=message,
        retry_after=_wait([step.until for step in steps if isinstance(step, Skip)], now),
        request_id=request_id,
        steps=tuple(steps),
    )


def timed_out(request_id: str, steps: Sequence[Step], deadline: float) -> Trouble:
    """The request's own deadline passed."""
    return Trouble(
        status=504,
        kind="timeout_headers",
        code="deadline_exceeded",
        message=f"No answer within the deadline of {deadline:g} s.",
        request_id=request_id,
        steps=tuple(steps),
    )


def _refused(request_id: str, steps: Sequence[Step], failure: Failure) -> Trouble:
    status = failure.status if failure.status and 400 <= failure.status < 500 else 400
    return Trouble(
        status=400 if status in (401, 402, 403, 404, 429) else status,
        kind=failure.kind,
        code=_code(failure),
        message=failure.message or OF_THE_REQUEST[failure.kind],
        param=failure.param,
        request_id=request_id,
        steps=tuple(steps),
    )


def _code(failure: Failure) -> str:
    """Clients look for the API's own words for these; a vendor's stands among the attempts."""
    own = OF_THE_REQUEST[failure.kind]
    return failure.code or own if failure.kind == "invalid_request" else own


def _limited(
    request_id: str, steps: Sequence[Step], failures: Sequence[Failure], skips: Sequence[Skip], now: float
) -> Trouble:
    return Trouble(
        status=429,
        kind="rate_limited",
        code="rate_limit_exceeded",
        message="Every account that could serve this is at its limit." + _counted(steps),
        retry_after=_wait(_times(failures, skips), now),
        request_id=request_id,
        steps=tuple(steps),
    )


def _credentials(request_id: str, steps: Sequence[Step]) -> Trouble:
    return Trouble(
        status=502,
        kind="auth",
        code="upstream_credentials_exhausted",
        message="No upstream account could be used: its key was rejected or its balance is empty."
        + _counted(steps),
        request_id=request_id,
        steps=tuple(steps),
    )


def _failed(request_id: str, steps: Sequence[Step], failure: Failure, wait: float | None) -> Trouble:
    status, code = STATUS.get(failure.kind, (502, "upstream_error"))
    return Trouble(
        status=status,
        kind=failure.kind,
        code=code,
        message=f"{failure.message or failure.kind}.".replace("..", ".") + _counted(steps),
        retry_after=(wait or 1.0) if status == 503 else None,
        request_id=request_id,
        steps=tuple(steps),
    )


def _unavailable(request_id: str, steps: Sequence[Step], skips: Sequence[Skip], now: float) -> Trouble:
    return Trouble(
        status=503,
        kind="overloaded",
        code="no_healthy_provider",
        message="Nothing that could serve this is healthy now.",
        retry_after=_wait([skip.until for skip in skips if skip.until], now) or 1.0,
        request_id=request_id,
        steps=tuple(steps),
    )


def _nothing_fits(request_id: str, decision: Decision) -> Trouble:
    rejected = decision.rejected
    if rejected and all(one.reason == "context" for one in rejected):
        message = "The request is longer than every context window that could take it."
        return Trouble(
            status=400,
            kind="context_length",
            code="context_length_exceeded",
            message=message,
            param="messages",
            request_id=request_id,
        )
    why = "; ".join(
        f"{one.endpoint}: {one.reason}" + (f" ({one.detail})" if one.detail else "") for one in rejected[:8]
    )
    return Trouble(
        status=400,
        kind="invalid_request",
        code="no_eligible_model",
        message=f"Nothing that {decision.facts.asked!r} stands for can serve this request. {why}".strip(),
        param="model",
        request_id=request_id,
    )


def _all_limited(failures: Sequence[Failure], skips: Sequence[Skip]) -> bool:
    return not failures and bool(skips) and all(skip.reason in LIMIT_HOLDS for skip in skips)


def _times(failures: Sequence[Failure], skips: Sequence[Skip]) -> list[float | None]:
    return [failure.retry_at for failure in failures] + [skip.until for skip in skips]


def _wait(times: Iterable[float | None], now: float) -> float:
    """Seconds until the first of them; never less than one, for clients obey it literally."""
    known = [time for time in times if time is not None]
    return max(1.0, min(known) - now) if known else 1.0


def _counted(steps: Sequence[Step]) -> str:
    attempts = sum(isinstance(step, Attempt) for step in steps)
    return f" ({attempts} attempt{'s' if attempts != 1 else ''})"
