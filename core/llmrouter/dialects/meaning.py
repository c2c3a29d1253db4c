"""What the JSON of an answer means: the part of a reader that every dialect writes for itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from llmrouter.types import Event, Fault

from .common import loads

_EXPLAINS = frozenset({"error", "detail", "message", "msg", "code"})  # keys of the error bodies of many vendors


class Meaning(Protocol):
    """What the JSON of a dialect means, one per answer. Raises ValueError for what it cannot read."""

    def event(self, data: bytes, name: str) -> Sequence[Event]: ...
    def body(self, data: bytes) -> Sequence[Event]: ...
    def done(self) -> Sequence[Event]:
        """The end mark was seen."""
        ...


class BodyMeaning:
    """Base for answers that never stream. What comes as an event all the same is the body."""

    def body(self, data: bytes) -> Sequence[Event]:
        raise NotImplementedError

    def event(self, data: bytes, name: str) -> Sequence[Event]:
        return self.body(data)

    def done(self) -> Sequence[Event]:
        return ()


def unreadable(data: bytes) -> Sequence[Event]:
    """JSON that is no answer: an error for the provider to judge, or nothing that its dialect promises."""
    return (Fault(data, malformed=not explains(loads(data))),)


def explains(body: Any) -> bool:
    """Whether JSON that is no answer looks like the report of an error."""
    if isinstance(body, list):
        return bool(body) and explains(body[0])
    return isinstance(body, dict) and not _EXPLAINS.isdisjoint(body)
