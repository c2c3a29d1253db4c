"""What the wire formats have in common."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from attrs import frozen

from .refusals import Refused
from .requests import Sampling

SSE = "text/event-stream; charset=utf-8"
JSON = "application/json"
DONE = b"data: [DONE]\n\n"


@frozen
class Stamp:
    """What stands at the head of an answer and of each of its chunks."""

    id: str
    created: int  # seconds since the epoch
    model: str

    def head(self, prefix: str, object: str) -> Mapping[str, Any]:
        return {"id": f"{prefix}-{self.id}", "object": object, "created": self.created, "model": self.model}


@frozen
class Event:
    """One event of a stream; `token` if it carries generated output."""

    value: Mapping[str, Any]
    token: bool = False

    def bytes(self) -> bytes:
        return b"data: " + msgspec.json.encode(self.value) + b"\n\n"


@frozen(kw_only=True)
class Answer:
    """One body, or the events of a stream."""

    whole: Mapping[str, Any] = {}
    events: Iterable[Event] | None = None
    tokens: int = 0  # how many are written one after another


@frozen(kw_only=True)
class Limits:
    """Tokens that a model takes in and gives out; None is no limit."""

    window: int | None = None
    output: int | None = None

    def room(self, prompt: int, *asked: int | None) -> int | None:
        """How long one answer may get. Raises Refused (400) for a prompt that leaves no room."""
        left = None if self.window is None else self.window - prompt
        if left is not None and left <= 0:
            problem = f"This model's maximum context length is {self.window} tokens. Your input has {prompt}."
            raise Refused(400, problem, code="context_length_exceeded")
        return min((one for one in (left, self.output, *asked) if one is not None), default=None)


def check_stream(body: Sampling) -> None:
    """Raises Refused (400) for options of a stream that is none."""
    if body.stream_options is not None and not body.stream:
        problem = "The 'stream_options' parameter is only allowed when 'stream' is enabled."
        raise Refused(400, problem, param="stream_options")


def usage(prompt: int, completion: int) -> Mapping[str, int]:
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
