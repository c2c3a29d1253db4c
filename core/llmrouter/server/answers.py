"""Answers that need no upstream: JSON, and errors in the envelope of the path that was asked."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Mapping
from typing import Any

import msgspec
from attrs import Factory, frozen

from llmrouter.dialects.errors import envelope
from llmrouter.errors import InvalidRequest
from llmrouter.protocols import Dialect
from llmrouter.types import Kind, Trouble

from .channel import Channel


@frozen
class Answer:
    """A whole answer: status, JSON, and headers beside its type and length."""

    status: int
    body: bytes
    headers: Mapping[str, str] = Factory(dict)


class Refused(Exception):
    """The request goes no further. `close`: and neither does its connection."""

    def __init__(self, what: Trouble, close: bool = False) -> None:
        super().__init__(what.code)
        self.trouble = what
        self.close = close


def said(value: Any, status: int = 200) -> Answer:
    return Answer(status, msgspec.json.encode(value))


def trouble(
    status: int, code: str, message: str, kind: Kind = "invalid_request", retry_after: float | None = None
) -> Trouble:
    return Trouble(status=status, kind=kind, code=code, message=message, retry_after=retry_after)


def invalid(error: InvalidRequest) -> Trouble:
    return Trouble(
        status=error.status, kind="invalid_request", code=error.code, message=str(error), param=error.param
    )


def refusal(what: Trouble, dialect: Dialect | None = None, headers: Mapping[str, str] | None = None) -> Answer:
    """The error as the dialect of the path says it; OpenAI's envelope where no dialect is served."""
    body = dialect.refuse(what) if dialect else msgspec.json.encode(envelope(what))
    extra = dict(headers or {})
    if (name := getattr(dialect, "id_header", "")) and what.request_id:
        extra[name] = what.request_id
    if what.retry_after is not None:
        extra["retry-after"] = str(max(1, math.ceil(what.retry_after)))
    return Answer(what.status, body, extra)


def send_answer(channel: Channel, answer: Answer, request_id: str) -> Awaitable[None] | None:
    headers = {"content-type": "application/json", "x-request-id": request_id, **answer.headers}
    return channel.answer(answer.status, headers, answer.body)
