"""One request of one client: its body, its answer, and the news that the client has left.

A task that listens for each client would cost more than all other work of the server. So nobody listens at
first: a beat that all requests share, four times a second, starts the listener of those that are still under
way, and gives up on a body that does not arrive. The task of a request is cancelled here and nowhere else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Literal

from llmrouter.types import Request

from .answers import Answer, Refused, send_answer, trouble
from .channel import Channel

BEAT = 0.25  # seconds; a client that left is noticed within one
BODY_TIME = 30.0  # seconds a body may take, and more for each MIN_RATE bytes that came
MIN_RATE = 32 * 1024  # bytes a second
DISCARD = 4  # times the limit: what is read and thrown away so that the client can read its refusal

TOO_LARGE = trouble(413, "request_too_large", "The body is larger than this router accepts.")

Write = Callable[[bytes], Awaitable[None] | None]
End = Literal["", "gone", "slow", "stopping"]


class Gone(Exception):
    """The client left before it had sent its request."""


class Connection:
    """A `Client`. A stream is flushed chunk by chunk; a plain answer is sent as one, with its length."""

    __slots__ = (
        "_body", "_head", "_listener", "beats", "channel", "done", "end", "id", "reading", "received", "request",
        "started", "write",
    )  # fmt: skip

    def __init__(self, channel: Channel, id: str) -> None:
        self.channel = channel
        self._listener: asyncio.Task[None] | None = None
        self._head: tuple[int, Mapping[str, str]] | None = None  # of a plain answer, until it is whole
        self._body: list[bytes] = []  # of it, too
        self.write: Write = self._body.append
        self.id = id
        self.request: Request | None = None
        self.reading = False
        self.received = 0
        self.beats = 0
        self.started = False
        self.done = False
        self.end: End = ""

    # ---- the body

    async def read(self, limit: int) -> bytes:
        """The whole body. Raises Refused and Gone; a body that is too slow ends the request."""
        self.reading = True
        chunks = []
        more = True
        while more and self.received <= limit * DISCARD:
            message = await self.channel.receive()
            if message["type"] == "http.disconnect":
                raise Gone
            body: bytes = message.get("body", b"")
            more = message.get("more_body", False)
            self.received += len(body)
            if self.received <= limit:
                chunks.append(body)
        self.reading = False
        if self.received > limit:
            raise Refused(TOO_LARGE, close=self.received > limit * DISCARD)
        return b"".join(chunks)

    # ---- the answer

    def start(self, status: int, headers: Mapping[str, str]) -> Awaitable[None] | None:
        if "x-request-id" not in headers:
            headers = {**headers, "x-request-id": self.id}
        if "content-length" in headers:  # known when the answer is whole; of a stream, never
            headers = {name: value for name, value in headers.items() if name != "content-length"}
        if status < 400 and self.request is not None and self.request.facts.wire.stream:
            self.write = self.channel.write
            return self._started(self.channel.begin(status, headers))
        self._head = status, headers
        return None

    def _started(self, wait: Awaitable[None] | None) -> Awaitable[None] | None:
        """The head is sent, once that is waited for: one that the server refuses leaves room for an error."""
        if wait is not None:
            return self._started_after(wait)
        self.started = True
        return None

    async def _started_after(self, head: Awaitable[None]) -> None:
        await head
        self.started = True

    def finish(self) -> Awaitable[None] | None:
        """Send what is left. Raises RuntimeError for an answer that was never started."""
        if self._head is None and not self.started:
            raise RuntimeError("the engine gave no answer")
        self.done = True
        if self._head is None:
            return self.channel.finish()
        return self._started(self.channel.answer(*self._head, b"".join(self._body)))

    async def answer(self, answer: Answer) -> None:
        """A whole answer, in place of whatever was begun and not sent yet."""
        self.done = self.started = True
        if wait := send_answer(self.channel, answer, self.id):
            await wait

    # ---- the end

    def beat(self) -> None:
        self.beats += 1
        if self.reading:
            if self.beats * BEAT > BODY_TIME + self.received / MIN_RATE:
                self.cancel("slow")
        elif self._listener is None and not self.done:
            self._listener = asyncio.get_running_loop().create_task(self._listen())

    async def _listen(self) -> None:
        while (await self.channel.receive())["type"] != "http.disconnect":
            pass
        if not self.done:
            self.cancel("gone")

    def cancel(self, why: End) -> None:
        """End the request; the first reason counts, and its task is cancelled once."""
        if not self.end and not self.done:
            self.end = why
            self.channel.task.cancel()

    def close(self) -> None:
        self.done = True
        if self._listener is not None:
            self._listener.cancel()


class Running:
    """The requests under way in this process, and the beat they share."""

    def __init__(self) -> None:
        self.all: set[Connection] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._idle: asyncio.Event | None = None

    def __len__(self) -> int:
        return len(self.all)

    def add(self, connection: Connection) -> None:
        self.all.add(connection)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(BEAT, self._beat)

    def discard(self, connection: Connection) -> None:
        connection.close()
        self.all.discard(connection)
        if self._idle is not None and not self.all:
            self._idle.set()

    def _beat(self) -> None:
        self._timer = None
        for connection in self.all:
            connection.beat()
        if self.all:
            self._timer = asyncio.get_running_loop().call_later(BEAT, self._beat)

    def stop(self) -> None:
        """Cancel what still runs: called when the time to drain is over."""
        for connection in self.all:
            connection.cancel("stopping")

    async def idle(self) -> None:
        """Wait until no request is under way."""
        while self.all:
            self._idle = asyncio.Event()
            await self._idle.wait()
