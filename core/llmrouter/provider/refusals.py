"""What upstreams say when they refuse: error bodies, and the class of failure they mean."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from attrs import frozen

from llmrouter.types import Failure, Kind, Scope

MESSAGE = 2048  # characters of an upstream's words that are kept
NAME = 120  # of its code, and of the field it names
LONG_HINT = 120.0  # seconds; who asks for more than that has used up a quota

SCOPES: Mapping[Kind, Scope] = {
    "rate_limited": "account_model",
    "quota_exhausted": "account_model",
    "connect": "provider",
    "auth": "account",
    "payment": "account",
    "forbidden_model": "account_model",
    "context_length": "request",
    "content_filter": "request",
    "invalid_request": "request",
    "diverged": "request",
    "lost": "request",
    "cancelled": "request",
    "internal": "request",
}
"""What each class of failure is charged to; "endpoint" where it is not named."""

STATUSES: Mapping[int, Kind] = {
    401: "auth",
    402: "payment",
    403: "forbidden_model",
    404: "not_found",
    408: "timeout_headers",
    413: "context_length",
    429: "rate_limited",
    501: "invalid_request",
    529: "overloaded",
}
"""What a status means where the body does not say better; else 4xx is the request's fault and 5xx the server's."""

HINTED: frozenset[Kind] = frozenset({"rate_limited", "quota_exhausted", "overloaded", "server_error"})
"""Classes whose end an upstream's hint tells; a revoked key does not come back in a second."""

_KEY = re.compile(
    r"\bbearer\s+\S+|\b(?:sk|rk|pk|ak|gsk|xai|csk|cpk|pplx|tgp|hf)[-_][^\s\"',;)]{4,}|\bAIza\S{10,}", re.IGNORECASE
)


class Said(msgspec.Struct, frozen=True):
    """What an error body says, whatever its envelope; "" for what it leaves out."""

    message: str = ""
    type: str = ""
    code: str = ""
    param: str | None = None


@frozen(kw_only=True)
class ErrorRule:
    """An error that an upstream is known for, and what it means. What is not given matches everything."""

    kind: Kind
    scope: Scope | None = None  # None: that of the class
    status: frozenset[int] = frozenset()
    code: frozenset[str] = frozenset()
    type: frozenset[str] = frozenset()
    text: re.Pattern[str] | None = None  # searched in the message

    def matches(self, status: int, said: Said) -> bool:
        return bool(
            (not self.status or status in self.status)
            and (not self.code or said.code in self.code)
            and (not self.type or said.type in self.type)
            and (self.text is None or self.text.search(said.message))
        )


def classify(
    status: int, said: Said, rules: Iterable[ErrorRule] = (), *, now: float = 0.0, retry_at: float | None = None
) -> Failure:
    """The failure that an answer means: the first rule that matches, else its status."""
    if status < 400 and said.code.isascii() and said.code.isdigit() and 400 <= int(said.code[:4]) < 600:
        status = int(said.code[:4])  # an error inside a good status that names the one it would have had
    rule = next((rule for rule in rules if rule.matches(status, said)), None)
    kind = rule.kind if rule else _kind(status, retry_at is not None)
    if kind == "rate_limited" and retry_at is not None and retry_at - now > LONG_HINT:
        kind = "quota_exhausted"
    return Failure(
        kind=kind,
        scope=(rule and rule.scope) or SCOPES.get(kind, "endpoint"),
        message=said.message,
        status=status,
        retry_at=retry_at if kind in HINTED else None,
        code=said.code or said.type,
        param=said.param,
        by="provider" if rule else "status",
    )


def _kind(status: int, hinted: bool) -> Kind:
    if status in STATUSES:
        return STATUSES[status]
    if 300 <= status < 400:
        return "not_found"  # moved: the address in the configuration is not the upstream's
    if status == 503 and hinted:
        return "overloaded"
    return "invalid_request" if 400 <= status < 500 else "server_error"


def read_error(body: bytes, secrets: Sequence[str] = ()) -> Said:
    """The words of an error body in any of the known envelopes, cut and without `secrets` or what looks like one.

    `{"error": {…}}`, `[{"error": {…}}]`, `{"error": "…", "code": …}`, `{"detail": …}`, a flat object, or text.
    """
    try:
        value: Any = msgspec.json.decode(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        value = None
    if isinstance(value, list):
        value = value[0] if value else None
    said = value if isinstance(value, Mapping) else {"message": value}
    inner = said.get("error")
    if isinstance(inner, Mapping):
        said = inner
    param, details = said.get("param"), said.get("details")
    inner_code = details.get("error_code") if isinstance(details, Mapping) else None
    return Said(
        message=redacted(_message(said) or _text(body), secrets)[:MESSAGE],
        type=redacted(_word(said.get("type") or said.get("status")), secrets)[:NAME],
        code=redacted(_word(said.get("code") or inner_code), secrets)[:NAME],
        param=redacted(param, secrets)[:NAME] if isinstance(param, str) else None,
    )


def _message(said: Mapping[str, Any]) -> str:
    found = next((said[name] for name in ("message", "detail", "error") if said.get(name)), "")
    if isinstance(found, list):
        return "; ".join(filter(None, map(_detail, found)))
    return found if isinstance(found, str) else ""


def _detail(one: Any) -> str:
    """One finding of a validator: `{"loc": ["body", "n"], "msg": "…"}`."""
    if not isinstance(one, Mapping):
        return one if isinstance(one, str) else ""
    place, said = one.get("loc"), one.get("msg")
    path = ".".join(map(_word, place)) if isinstance(place, list) else ""
    return f"{path}: {said}" if path and isinstance(said, str) else _word(said)


def _text(body: bytes) -> str:
    """A body that has no message of its own, as one line; of a page, what a reader would see of it."""
    text = body[: 4 * MESSAGE].decode("utf-8", "replace").strip()
    if text.startswith("<"):
        text = re.sub(r"<(style|script)\b.*?</\1>|<[^>]*>", " ", text, flags=re.DOTALL | re.IGNORECASE)
    return " ".join(text.split())


def _word(value: Any) -> str:
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""


SHORTEST_SECRET = 8
"""Characters: what is shorter is a word for a server that needs no key, and stands in other words."""


def redacted(text: str, secrets: Sequence[str] = ()) -> str:
    """Text without the secrets, and without what looks like a key or a bearer token."""
    for secret in secrets:
        if len(secret) >= SHORTEST_SECRET:
            text = text.replace(secret, "…")
    return _KEY.sub("…", text)
