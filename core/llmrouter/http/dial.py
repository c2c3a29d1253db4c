# ruff: noqa: TID251 (this package is the one place that knows the HTTP clients)
"""Opens connections: names are asked for once a minute, addresses raced, certificates checked."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from functools import cached_property
from typing import NamedTuple, TypeVar

from aiohappyeyeballs import AddrInfoType, start_connection

NAME_TTL = 60.0  # seconds
HEAD_START = 0.25  # seconds that an address has before the next is tried beside it: RFC 8305
TCP = {"type": socket.SOCK_STREAM, "proto": socket.IPPROTO_TCP}

Infos = Sequence[AddrInfoType]
Resolve = Callable[[str, int], Awaitable[Infos]]
P = TypeVar("P", bound=asyncio.Protocol)


class Origin(NamedTuple):
    """Where connections lead."""

    host: str
    port: int
    tls: bool


async def resolve(host: str, port: int) -> Infos:
    """The addresses of a name, as the system knows them. Raises OSError."""
    return await asyncio.get_running_loop().getaddrinfo(host, port, **TCP)


class Dialer:
    """Opens connections within `seconds`, looking names up with `resolve`."""

    def __init__(self, seconds: float, resolve: Resolve = resolve) -> None:
        self._seconds = seconds
        self._names = Names(resolve)

    async def open(self, origin: Origin, make: Callable[[], P]) -> P:
        """A connection with the protocol that `make` gives. Raises OSError and UnicodeError."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(self._seconds):
            tls, name = (self._tls, origin.host) if origin.tls else (None, None)
            infos = await self._names.find(origin.host, origin.port)
            found = await start_connection(infos, happy_eyeballs_delay=HEAD_START, interleave=1, loop=loop)
            _, protocol = await loop.create_connection(make, sock=found, ssl=tls, server_hostname=name)
        return protocol

    def close(self) -> None:
        self._names.close()

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        context.set_alpn_protocols(["http/1.1"])
        return context


class Names:
    """What names resolve to. Many that ask at once are one look-up; their addresses take turns."""

    def __init__(self, resolve: Resolve) -> None:
        self._resolve = resolve
        self._known: dict[tuple[str, int], tuple[float, Infos]] = {}
        self._asking: dict[tuple[str, int], asyncio.Task[Infos]] = {}

    async def find(self, host: str, port: int) -> Infos:
        """The addresses to try, in order. Raises OSError and UnicodeError."""
        try:
            return socket.getaddrinfo(host, port, **TCP, flags=socket.AI_NUMERICHOST)  # asks nobody
        except socket.gaierror:
            pass
        until, infos = self._known.get((host, port), (0.0, ()))
        if not infos or asyncio.get_running_loop().time() >= until:
            infos = await asyncio.shield(self._ask(host, port))
            until = self._known[host, port][0]
        self._known[host, port] = until, [*infos[1:], infos[0]]
        return infos

    def _ask(self, host: str, port: int) -> asyncio.Task[Infos]:
        asking = self._asking.get((host, port))
        if asking is None:
            asking = self._asking[host, port] = asyncio.create_task(self._look_up(host, port))
            asking.add_done_callback(_seen)
        return asking

    async def _look_up(self, host: str, port: int) -> Infos:
        try:
            infos = await self._resolve(host, port)
            if not infos:
                raise socket.gaierror(socket.EAI_NONAME, f"{host} has no address")
            self._known[host, port] = asyncio.get_running_loop().time() + NAME_TTL, infos
            return infos
        finally:
            del self._asking[host, port]

    def close(self) -> None:
        for asking in self._asking.values():
            asking.cancel()


def _seen(asked: asyncio.Task[Infos]) -> None:
    """Those that asked may all have left: then nobody else looks at what went wrong."""
    if not asked.cancelled():
        asked.exception()
