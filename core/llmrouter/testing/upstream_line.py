"""One connection of a scripted upstream: the request on it, and the hand that writes the answer."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any, cast

from attrs import define

Script = Callable[["Line"], Awaitable[None]]


@define(eq=False)
class Received:
    """A request as it came. `headers` have lower-case names."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    at: float
    connection: int
    left: float | None = None  # when the client hung up, if it did so before the script was through
    ended: float | None = None  # when the script was through

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def stream(self) -> bool:
        """Whether a stream of events was asked for; False for a body that is not a JSON object."""
        with suppress(ValueError):
            body = self.json
            return isinstance(body, dict) and body.get("stream") is True
        return False


class Protocol(asyncio.StreamReaderProtocol):
    """Streams, and a future that is done as soon as the client has hung up. It is in `among` while it is open."""

    def __init__(
        self, reader: asyncio.StreamReader, serve: Callable[..., Awaitable[None]], among: set[Protocol]
    ) -> None:
        self.gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._among = among
        self._wire: asyncio.Transport | None = None
        super().__init__(reader, lambda reader, writer: serve(reader, writer, self.gone))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._wire = cast(asyncio.Transport, transport)
        self._among.add(self)
        super().connection_made(transport)

    def abort(self) -> None:
        """End the connection now."""
        if self._wire:
            self._wire.abort()

    def eof_received(self) -> bool | None:
        self._mark()
        return super().eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._mark()
        self._among.discard(self)
        super().connection_lost(exc)

    def _mark(self) -> None:
        if not self.gone.done():
            self.gone.set_result(None)


@define(eq=False)
class Line:
    """A connection with one request on it: what a script writes to."""

    request: Received
    _writer: asyncio.StreamWriter
    over: bool = False  # no further request can follow on this connection
    _chunked: bool = False

    async def head(self, status: int, headers: Mapping[str, str] | None = None, length: int | None = None) -> None:
        """Write status line and headers. Without a length in bytes the body is chunked."""
        lines = [f"HTTP/1.1 {status} Scripted", *(f"{name}: {value}" for name, value in (headers or {}).items())]
        self._chunked = length is None and status not in (204, 304)
        if self._chunked:
            lines.append("transfer-encoding: chunked")
        elif length is not None:
            lines.append(f"content-length: {length}")
        await self.raw("\r\n".join(lines).encode() + b"\r\n\r\n")

    async def body(self, data: bytes) -> None:
        """Write a part of the body, as a chunk of its own where the body is chunked."""
        if not data:
            return
        await self.raw(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)

    async def end(self) -> None:
        """End the body well; the connection lives on."""
        if self._chunked:
            await self.raw(b"0\r\n\r\n")

    async def raw(self, data: bytes) -> None:
        """Write bytes as they are, and wait until the socket takes more."""
        self._writer.write(data)
        await self._writer.drain()

    async def pause(self, seconds: float | None = None) -> None:
        """Say nothing; None is for ever, which ends when the client hangs up."""
        await (asyncio.sleep(seconds) if seconds is not None else asyncio.Event().wait())

    def close(self) -> None:
        """Close the connection in order (FIN), wherever the answer is."""
        self.over = True
        self._writer.close()

    def reset(self) -> None:
        """Tear the connection down (RST), wherever the answer is."""
        self.over = True
        sock = self._writer.get_extra_info("socket")
        with suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()


async def read(reader: asyncio.StreamReader, connection: int) -> Received | None:
    """The next request of a connection; None when the client has closed it."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
        method, path, _ = first.split(" ", 2)
        pairs = (line.partition(":") for line in lines)
        headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
        body = await _body(reader, headers)
    except asyncio.IncompleteReadError:
        return None
    return Received(method, path, headers, body, time.monotonic(), connection)


async def _body(reader: asyncio.StreamReader, headers: Mapping[str, str]) -> bytes:
    if headers.get("transfer-encoding", "") != "chunked":
        return await reader.readexactly(int(headers.get("content-length", 0)))
    parts = []
    while size := int((await reader.readline()).split(b";")[0], 16):
        parts.append((await reader.readexactly(size + 2))[:-2])
    await reader.readline()
    return b"".join(parts)
