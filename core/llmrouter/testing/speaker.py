"""What an upstream in good health says, whatever its dialect: contracts, faults and fakes are made of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

from attrs import frozen

from llmrouter.types import Op

from .upstream_line import Line, Received, Script
from .upstream_scripts import DONE, JSON, SSE, answer, event, stream

TEXT = "Sixteen small words arrive here one by one so that a cut can fall between them."

Tool = tuple[str, str, str]
"""A tool call of an answer: id, name, arguments as JSON text."""


@frozen
class Speaker(ABC):
    """Says a text, or calls tools, in one dialect; `delay` seconds lie between the events of a stream.

    A dialect of its own overrides the four abstract methods, and the class variables where it differs.
    """

    text: str = TEXT
    tools: Sequence[Tool] = ()
    delay: float = 0.0

    dialect: ClassVar[str]
    op: ClassVar[Op] = "chat"
    media: ClassVar[Mapping[str, str]] = SSE  # headers of a stream
    opening: ClassVar[int] = 1  # events of a stream before its first output
    mark: ClassVar[bytes] = DONE  # ends a stream; empty where none does
    alive: ClassVar[bytes] = b": waiting\n\n"  # what may stand between events and means nothing

    @abstractmethod
    def asks(self, model: str, stream: bool) -> dict[str, Any]:
        """The body of a request that this upstream answers."""

    @abstractmethod
    def whole(self, request: Received) -> dict[str, Any]:
        """The answer as one body."""

    @abstractmethod
    def events(self, request: Received) -> Iterable[bytes]:
        """The answer as a stream, with its end mark."""

    @abstractmethod
    def error(self, status: int = 500, message: str = "scripted") -> dict[str, Any]:
        """The error body that goes with a status."""

    def streams(self, request: Received) -> bool:
        """Whether a stream was asked for."""
        return request.stream

    def broken(self) -> bytes:
        """An event by which a stream says that it failed."""
        return event(self.error())

    def answer(self) -> Script:
        """Answers every request, plain or streamed as asked."""

        async def script(line: Line) -> None:
            if self.streams(line.request):
                await stream(self.events(line.request), self.delay, self.media)(line)
            else:
                await answer(200, JSON, self.whole(line.request))(line)

        return script

    def refuse(self, status: int, message: str = "scripted", headers: Mapping[str, str] = JSON) -> Script:
        """Refuses every request, in the words of the dialect."""
        return answer(status, headers, self.error(status, message))
