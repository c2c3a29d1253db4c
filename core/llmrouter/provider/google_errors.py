"""Errors of Google's APIs: `google.rpc.Status`, what it means, and the limits that it tells.

Sources: google/rpc/error_details.proto, google/api/error_reason.proto, and answers as recorded and reported: an
unknown key is a 400; a daily quota comes with a delay of seconds; the longest of several violations counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from llmrouter.quota import window
from llmrouter.types import Failure, Kind, Sighting, Unit, Verdict

from .limits import moment, retry_at
from .refusals import MESSAGE, NAME, ErrorRule, Said, classify, read_error, redacted

MIDNIGHT = "day America/Los_Angeles"
"""When daily quotas begin anew, by the documentation."""
HOUR = 3600.0
"""Seconds: a longer delay than that is truer than the calendar."""

_KEY_REFUSED = frozenset(
    {
        "API_KEY_INVALID", "API_KEY_EXPIRED", "API_KEY_SERVICE_BLOCKED", "API_KEY_HTTP_REFERRER_BLOCKED",
        "API_KEY_IP_ADDRESS_BLOCKED", "API_KEY_ANDROID_APP_BLOCKED", "API_KEY_IOS_APP_BLOCKED",
        "ACCESS_TOKEN_EXPIRED", "ACCESS_TOKEN_SCOPE_INSUFFICIENT", "ACCESS_TOKEN_TYPE_UNSUPPORTED",
        "CREDENTIALS_MISSING",
        "CONSUMER_INVALID", "CONSUMER_SUSPENDED", "USER_PROJECT_DENIED", "SERVICE_DISABLED",
    }
)  # fmt: skip
_I = re.IGNORECASE

RULES: Sequence[ErrorRule] = (
    ErrorRule(kind="auth", code=_KEY_REFUSED),
    ErrorRule(kind="payment", code=frozenset({"BILLING_DISABLED"})),
    ErrorRule(kind="auth", text=re.compile(r"api key (not valid|expired|not found)|pass a valid api key", _I)),
    ErrorRule(kind="auth", text=re.compile(r"reported as leaked|consumer .* has been suspended", _I)),
    ErrorRule(
        kind="context_length",
        status=frozenset({200, 400, 413}),
        text=re.compile(r"exceeds the maximum number of tokens|token count .* exceeds|input .* too long", _I),
    ),
    ErrorRule(
        kind="payment",
        status=frozenset({400, 403, 429}),
        text=re.compile(
            r"enable billing|billing (account|is)|prepayment credits|dunning|spend(ing)? (cap|limit)", _I
        ),
    ),
    ErrorRule(kind="forbidden_model", scope="account", type=frozenset({"FAILED_PRECONDITION"})),
    ErrorRule(kind="forbidden_model", status=frozenset({429}), text=re.compile(r"\blimit: 0\b")),
    ErrorRule(kind="overloaded", type=frozenset({"UNAVAILABLE"})),
    ErrorRule(kind="overloaded", text=re.compile(r"\bmodel is (currently )?overloaded|high demand", _I)),
)
"""What the status alone does not say."""


class Violation(msgspec.Struct, gc=False):
    quotaMetric: str = ""
    quotaId: str = ""
    quotaValue: str | int | None = None


class Detail(msgspec.Struct, gc=False):
    violations: list[Violation] | None = None  # of a QuotaFailure
    retryDelay: str | None = None  # of a RetryInfo
    reason: str | None = None  # of an ErrorInfo


class Status(msgspec.Struct, gc=False):
    code: int = 0
    message: str = ""
    status: str = ""
    details: list[Detail] | None = None


class Envelope(msgspec.Struct, gc=False):
    error: Status


_envelopes = msgspec.json.Decoder(Envelope | list[Envelope])


def google_verdict(
    status: int, headers: Mapping[str, str], body: bytes, now: float, secrets: Sequence[str]
) -> Verdict:
    """What an error means. A body in nobody's envelope is read as that of any other upstream."""
    found = _read(body)
    if found is None:
        said = read_error(body, secrets)
        return Verdict(
            _unfinished(body, secrets) or classify(status, said, RULES, now=now, retry_at=_hint(headers, said, now))
        )
    if status < 400 and 400 <= found.code < 600:
        status = found.code
    details = found.details or ()
    said = Said(
        message=redacted(found.message, secrets)[:MESSAGE],
        type=redacted(found.status, secrets)[:NAME],
        code=redacted(next((one.reason for one in details if one.reason), ""), secrets)[:NAME],
    )
    delay = next((moment(one.retryDelay, now) for one in details if one.retryDelay), None)
    failure = classify(status, said, RULES, now=now, retry_at=delay or _hint(headers, said, now))
    violations = [one for detail in details for one in detail.violations or ()]
    return _limited(failure, violations, now) if status == 429 and violations else Verdict(failure)


def _read(body: bytes) -> Status | None:
    try:
        found = _envelopes.decode(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return None
    first = found[0] if isinstance(found, list) and found else found
    return None if isinstance(first, list) else first.error


def _hint(headers: Mapping[str, str], said: Said, now: float) -> float | None:
    return retry_at(headers, said.message, now)


def _limited(failure: Failure, violations: Sequence[Violation], now: float) -> Verdict:
    """The longest window counts. A limit of nothing is a model that this account may not use."""
    if any(_value(one) == 0 for one in violations):
        return Verdict(replace(failure, kind="forbidden_model", scope="account_model", retry_at=None))
    kind: Kind = "rate_limited"
    at = failure.retry_at
    if any(_window(one) == "day" for one in violations):
        kind = "quota_exhausted"
        at = at if at is not None and at - now > HOUR else window(MIDNIGHT).bounds(now)[1]
    failure = replace(failure, kind=kind, scope="account_model", retry_at=at)
    return Verdict(failure, tuple(_sightings(violations, at, now)))


def _sightings(violations: Sequence[Violation], at: float | None, now: float) -> Iterator[Sighting]:
    """The limits as they are stated: each is used up, or there would be no violation."""
    for one in violations:
        length = _window(one)
        yield Sighting(
            scope="account_model" if "PerModel" in one.quotaId else "account",
            unit=_unit(one),
            window=length,
            limit=_value(one),
            remaining=0.0,
            resets_at=at if length == "day" or at is None else min(at, window(length).bounds(now)[1]),
        )


def _window(violation: Violation) -> str:
    id = violation.quotaId
    return "day" if "PerDay" in id else "hour" if "PerHour" in id else "minute"


def _unit(violation: Violation) -> Unit:
    names = f"{violation.quotaMetric} {violation.quotaId}".lower().replace("_", "")
    if "token" not in names:
        return "requests"
    return "input_tokens" if "inputtoken" in names else "output_tokens" if "outputtoken" in names else "tokens"


def _value(violation: Violation) -> float | None:
    try:
        return None if violation.quotaValue is None else float(violation.quotaValue)
    except ValueError:
        return None


class _Ended(msgspec.Struct, gc=False):
    finishReason: str = ""
    finishMessage: str = ""


class _Unfinished(msgspec.Struct, gc=False):
    candidates: list[_Ended] = []


def _unfinished(body: bytes, secrets: Sequence[str]) -> Failure | None:
    """An answer that its model failed to give: no error, and nothing said."""
    try:
        found: Any = msgspec.json.decode(body, type=_Unfinished)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return None
    if not found.candidates:
        return None
    ended = found.candidates[0]
    message = f"the model ended with {ended.finishReason or 'nothing'}. {ended.finishMessage}".strip()
    return Failure(
        kind="degraded",
        scope="endpoint",
        message=redacted(message, secrets)[:MESSAGE],
        code=ended.finishReason[:NAME],
    )
