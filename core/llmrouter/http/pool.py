# ruff: noqa: TID251 (this package is the one place that knows the HTTP clients)
"""Production: connections that are kept for the next request, behind httpx's transport interface."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import NamedTuple, cast

import httpx

from llmrouter.errors import TransportError

from .body import CONNECTING, FOREIGN, OPENING, Body, Pair, patience
from .dial import Dialer, Origin, Resolve, resolve
from .unpack import unpacked
from .wire import Answer, Wire

SWEEP = 22.0  # seconds; who was idle in all of one is closed: balancers commonly do that after 60
PACKED = "content-encoding"
PORTS = {"http": 80, "https": 443}


class Answered(NamedTuple):
    """An answer whose head is there. Names of headers are in lower case, repeated ones are joined by a comma."""

    status: int
    headers: Mapping[str, str]
    body: Body


class Door:
    """One origin of a `PooledTransport`, for those who have bytes and need no httpx types to carry them."""

    def __init__(self, origin: Origin, dialer: Dialer, places: asyncio.Semaphore | None) -> None:
        self._origin, self._dialer, self._places = origin, dialer, places
        self._loop = asyncio.get_running_loop()
        self._idle: list[Wire] = []  # the last one in is the first one out, so that the others may go
        self._busy: set[Wire] = set()
        self._sweeper: asyncio.TimerHandle | None = None

    async def ask(self, head: bytes, body: bytes, skip_body: bool = False) -> Answered:
        """Send a request with a head of `head_of`. `skip_body`: the answer has none. Raises TransportError."""
        wire = self._ready() if self._places is None else None
        if wire is None:
            wire = await self._connected()
        answer = wire.ask(head, body, skip_body)
        try:
            while not answer.status:
                await answer.news()
            return _answered(answer)
        except FOREIGN as error:
            answer.close()
            raise OPENING.told(error) from error
        except BaseException:
            answer.close()
            raise

    @property
    def busy(self) -> int:
        """Connections in use."""
        return len(self._busy)

    def close(self) -> None:
        """What is under way breaks off."""
        if self._sweeper:
            self._sweeper.cancel()
        for wire in [*self._busy, *self._idle]:
            wire.transport.abort()

    def _ready(self) -> Wire | None:
        """A connection that was kept, in use from now on."""
        while self._idle:
            wire = self._idle.pop()
            if not wire.transport.is_closing():
                self._busy.add(wire)
                return wire
        return None

    async def _connected(self) -> Wire:
        """A connection, in use from now on; a new one if it must be."""
        if self._places:
            await self._places.acquire()
        try:
            return self._ready() or await self._open()
        except BaseException as error:
            if self._places:
                self._places.release()
            if isinstance(error, (*FOREIGN, UnicodeError)):
                raise CONNECTING.told(error) from error
            raise

    async def _open(self) -> Wire:
        wire = await self._dialer.open(self._origin, lambda: Wire(self, self._loop))
        self._busy.add(wire)
        return wire

    # ---- what the connections say

    def take_back(self, wire: Wire, usable: bool) -> None:
        self._free(wire)
        if not usable:
            return wire.transport.abort()
        wire.stale = False
        self._idle.append(wire)
        if self._sweeper is None:
            self._sweeper = self._loop.call_later(SWEEP, self._sweep)
        return None

    def lost(self, wire: Wire) -> None:
        self._free(wire)
        if wire in self._idle:
            self._idle.remove(wire)

    def _free(self, wire: Wire) -> None:
        if wire in self._busy:
            self._busy.remove(wire)
            if self._places:
                self._places.release()

    def _sweep(self) -> None:
        """Close what was idle since the last sweep. That takes no look at the clock for each request."""
        old = [wire for wire in self._idle if wire.stale]
        self._idle = [wire for wire in self._idle if not wire.stale]
        for wire in self._idle:
            wire.stale = True
        for wire in old:
            wire.transport.abort()
        self._sweeper = self._loop.call_later(SWEEP, self._sweep) if self._idle else None


class PooledTransport(httpx.AsyncBaseTransport):
    """httpx's interface over connections of our own, without a session, a task or a copy between."""

    def __init__(self, connect: float, limit: int | None, resolve: Resolve = resolve) -> None:
        self._dialer = Dialer(connect, resolve)
        self._places = asyncio.Semaphore(limit) if limit else None
        self._doors: dict[tuple[str, bytes], Door] = {}

    def door(self, url: httpx.URL) -> Door:
        """The way to the origin of an address, past httpx's types. Raises TransportError."""
        return self._doors.get((url.scheme, url.netloc)) or self._open(url)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        with OPENING:
            async with asyncio.timeout(patience(request)):
                head = head_of(request.method, request.url, request.headers.raw)
                body = await _content(request)
                status, headers, stream = await self.door(request.url).ask(head, body, request.method == "HEAD")
                pairs = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
                return httpx.Response(status, headers=pairs, stream=stream)

    def _open(self, url: httpx.URL) -> Door:
        if url.scheme not in PORTS:
            raise TransportError(
                "internal", f"cannot speak {url.scheme!r}: a base_url begins with http:// or https://"
            )
        origin = Origin(url.raw_host.decode("ascii"), url.port or PORTS[url.scheme], url.scheme == "https")
        return self._doors.setdefault((url.scheme, url.netloc), Door(origin, self._dialer, self._places))

    @property
    def active(self) -> int:
        """Requests whose connection is not given back."""
        return sum(door.busy for door in self._doors.values())

    async def aclose(self) -> None:
        self._dialer.close()
        for door in self._doors.values():
            door.close()
        await asyncio.sleep(0)  # the loop closes what was given up


def head_of(method: str, url: httpx.URL, headers: Sequence[Pair]) -> bytes:
    """The lines of a request before its blank one; further `lines` may follow. Raises TransportError."""
    return lines(headers, b"%s %s HTTP/1.1\r\n" % (method.encode("ascii"), url.raw_path))


def lines(headers: Sequence[Pair], head: bytes = b"") -> bytes:
    """The lines of headers, after those of `head`. Raises TransportError for a line break inside of one."""
    added = b"".join([b"%s: %s\r\n" % pair for pair in headers])
    if added.count(b"\n") != len(headers) or added.count(b"\r") != len(headers):
        raise TransportError("internal", "a header of the request holds a line break")
    return head + added


async def _content(request: httpx.Request) -> bytes:
    if isinstance(request.stream, httpx.ByteStream):
        return b"".join(request.stream)
    return await request.aread()


def _answered(answer: Answer) -> Answered:
    """Raises Garbled for a body that cannot be unpacked."""
    headers, body = answer.headers, cast(Body, answer)
    if PACKED in headers:
        body = unpacked(answer, headers.pop(PACKED))
        headers.pop("content-length", None)
    return Answered(answer.status, headers, body)
