"""What a fault is, and the faults that are a status: refusals, and limits with hints of every form."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from email.utils import formatdate
from time import time

from attrs import frozen

from llmrouter.types import Kind

from .speaker import Speaker
from .upstream_line import Line, Script
from .upstream_scripts import JSON, answer

HTML = {"content-type": "text/html; charset=utf-8"}
PAGE = b"<!doctype html><html><body><h1>Welcome to the proxy</h1></body></html>"


@frozen
class Fault:
    """Something an upstream may do wrong, and the failure classes that describe it."""

    name: str
    script: Script
    kinds: tuple[Kind, ...]
    late: bool = False  # in a stream it strikes after the first output
    shapes: tuple[str, ...] = ("plain", "stream")
    final: bool = False  # the request itself is at fault: another upstream is not asked


def statuses(speaker: Speaker) -> Iterator[Fault]:
    """A refusal by status, with and without a body that says why."""
    table: Mapping[int, tuple[Kind, ...]] = {
        401: ("auth",),
        402: ("payment",),
        403: ("forbidden_model", "auth"),
        404: ("not_found",),
        408: ("timeout_headers", "server_error", "overloaded"),
        500: ("server_error",),
        502: ("server_error",),
        503: ("server_error", "overloaded"),
        529: ("overloaded",),
    }
    for status, kinds in table.items():
        yield Fault(f"status_{status}", speaker.refuse(status), kinds)
    yield Fault("status_500_html", answer(500, HTML, PAGE), ("server_error",))
    yield Fault("status_500_empty", answer(500, {}), ("server_error",))
    yield Fault(
        "status_400", speaker.refuse(400, "'temperature' must be at most 2"), ("invalid_request",), final=True
    )
    yield Fault("status_413", speaker.refuse(413), ("context_length", "invalid_request"), final=True)


def limits(speaker: Speaker) -> Iterator[Fault]:
    """A 429 with a hint in each of the forms that are seen, and with none."""
    soon: tuple[Kind, ...] = ("rate_limited",)
    later: tuple[Kind, ...] = ("quota_exhausted", "rate_limited")
    forms: Mapping[str, tuple[Mapping[str, str], tuple[Kind, ...]]] = {
        "no_hint": ({}, soon),
        "seconds": ({"retry-after": "7"}, soon),
        "fraction": ({"retry-after": "6.5"}, soon),
        "milliseconds": ({"retry-after-ms": "6500"}, soon),
        "reset_header": ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "1m30s"}, soon),
        "placeholder": ({"retry-after": "X-RETRY-AFTER-XXX", "x-ratelimit-remaining-requests": "REDACTED"}, soon),
        "negative": ({"retry-after": "-5"}, soon),
        "hours": ({"retry-after": "7200"}, later),
        "year": ({"retry-after": "31536000"}, later),
    }
    for name, (headers, kinds) in forms.items():
        yield Fault(f"status_429_{name}", _limited(speaker, headers), kinds)
    yield Fault("status_429_date", _dated(speaker), soon)


def _limited(speaker: Speaker, headers: Mapping[str, str]) -> Script:
    return speaker.refuse(429, "Rate limit reached", {**JSON, **headers})


def _dated(speaker: Speaker) -> Script:
    """A hint as an HTTP date, 30 seconds from now."""

    async def script(line: Line) -> None:
        await _limited(speaker, {"retry-after": formatdate(time() + 30, usegmt=True)})(line)

    return script
