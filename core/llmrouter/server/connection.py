"""One request of one client: its body, its answer, and the news that the client has left.

A task that listens for each client would cost more than all other work of the server. So nobody listens at
first: a beat that all requests share, four times a second, starts the listener of those that are still under
way, and gives up on a body that does not arrive. The task of a request is cancelled here and nowhere else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Literal

from llmrouter.protocols import ASGIReceive, ASGISend
from llmrouter.types import Request

from .answers import Answer, Refused, send_answer, trouble

BEAT = 0.25  # seconds; a client that left is noticed within one
BODY_TIME = 30.0  # seconds a body may take, and more for each MIN_RATE bytes that came
MIN_RATE = 32 * 1024  # bytes a second
DISCARD = 4  # times the limit: what is read and thrown away so that the client can read its refusal

TOO_LARGE = trouble(413, "request_too_large", "The body is larger than this router accepts.")

End = Literal["", "gone", "slow", "stopping"]
Headers = list[tuple[bytes, bytes]]


class Gone(Exception):
    """The client left before it had sent its request."""


class Connection:
    """A `Client` over ASGI. A stream is flushed chunk by chunk; a plain answer is sent as one, with its length."""

    __slots__ = (
        "_chunks", "_head", "_listener", "_receive", "_send", "_task", "beats", "done", "end", "id", "reading",
        "received", "request", "started",
    )  # fmt: skip

    def __init__(self, receive: ASGIReceive, send: ASGISend, task: asyncio.Task[None], id: str) -> None:
        self._receive = receive
        self._send = send
        self._task = task
        self._listener: asyncio.Task[None] | None = None
        self._head: tuple[int, Headers] | None = None  # of a plain answer, until it is whole
        self._chunks: list[bytes] = []
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
            message = await self._receive()
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
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    # ---- the answer

    async def start(self, status: int, headers: Mapping[str, str]) -> None:
        values = "".join(headers.values())
        encode = str.encode if values.isascii() and values.isprintable() else _tamed
        if "content-length" in headers:  # known when the answer is whole; of a stream, never
            headers = {name: value for name, value in headers.items() if name != "content-length"}
        pairs = [(name.encode(), encode(value)) for name, value in headers.items()]
        if "x-request-id" not in headers:
            pairs.append((b"x-request-id", self.id.encode()))
        if status < 400 and self.request is not None and self.request.facts.wire.stream:
            await self._send({"type": "http.response.start", "status": status, "headers": pairs})
            self.started = True  # not before: a head that the server refuses leaves room for an error
        else:
            self._head = (status, pairs)

    async def write(self, data: bytes) -> None:
        if self.started:
            await self._send({"type": "http.response.body", "body": data, "more_body": True})
        else:
            self._chunks.append(data)

    async def finish(self) -> None:
        """Send what is left. Raises RuntimeError for an answer that was never started."""
        body = b""
        if self._head is not None:
            status, pairs = self._head
            body = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
            pairs.append((b"content-length", b"%d" % len(body)))
            await self._send({"type": "http.response.start", "status": status, "headers": pairs})
            self.started = True
        if not self.started:
            raise RuntimeError("the engine gave no answer")
        self.done = True
        await self._send({"type": "http.response.body", "body": body, "more_body": False})

    async def answer(self, answer: Answer) -> None:
        """A whole answer, in place of whatever was begun and not sent yet."""
        self.done = self.started = True
        await send_answer(self._send, answer, self.id)

    # ---- the end

    def beat(self) -> None:
        self.beats += 1
        if self.reading:
            if self.beats * BEAT > BODY_TIME + self.received / MIN_RATE:
                self.cancel("slow")
        elif self._listener is None and not self.done:
            self._listener = asyncio.get_running_loop().create_task(self._listen())

    async def _listen(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        if not self.done:
            self.cancel("gone")

    def cancel(self, why: End) -> None:
        """End the request; the first reason counts, and its task is cancelled once."""
        if not self.end and not self.done:
            self.end = why
            self._task.cancel()

    def close(self) -> None:
        self.done = True
        if self._listener is not None:
            self._listener.cancel()


def _tamed(value: str) -> bytes:
    """A header's value as a server lets it pass: some refuse all of an answer for one control character."""
    return "".join(one if one.isprintable() else "?" for one in value).encode("latin-1", "replace")


class Running:
    """The requests under way in this process, and the beat they share."""

    def __init__(self) -> None:
        self._all: set[Connection] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._idle: asyncio.Event | None = None

    def __len__(self) -> int:
        return len(self._all)

    def add(self, connection: Connection) -> None:
        self._all.add(connection)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(BEAT, self._beat)

    def discard(self, connection: Connection) -> None:
        connection.close()
        self._all.discard(connection)
        if self._idle is not None and not self._all:
            self._idle.set()

    def _beat(self) -> None:
        self._timer = None
        for connection in self._all:
            connection.beat()
        if self._all:
            self._timer = asyncio.get_running_loop().call_later(BEAT, self._beat)

    def stop(self) -> None:
        """Cancel what still runs: called when the time to drain is over."""
        for connection in self._all:
            connection.cancel("stopping")

    async def idle(self) -> None:
        """Wait until no request is under way."""
        while self._all:
            self._idle = asyncio.Event()
            await self._idle.wait()
