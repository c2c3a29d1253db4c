# ruff: noqa: TID251 (this package is the one place that knows the HTTP clients)
"""A transport that reaches this machine and no other, for runs that must not touch anybody."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from ipaddress import ip_address
from typing import NoReturn

import httpx

from llmrouter.errors import TransportError

from .pool import Door, PooledTransport


async def nowhere(host: str, port: int) -> NoReturn:
    """Knows no name, and asks nobody."""
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")


class LoopbackTransport(PooledTransport):
    """What `open_transport` gives, but names do not resolve and addresses of other machines are refused."""

    def __init__(self, connect: float) -> None:
        super().__init__(connect, None, nowhere)

    def door(self, url: httpx.URL) -> Door:
        with suppress(ValueError):  # a name, then
            if not ip_address(url.host).is_loopback:
                raise TransportError("connect", f"{url.host} is another machine", sent=False)
        return super().door(url)


@asynccontextmanager
async def open_loopback(connect: float) -> AsyncIterator[LoopbackTransport]:
    """`connect` is in seconds."""
    transport = LoopbackTransport(connect)
    try:
        yield transport
    finally:
        await transport.aclose()
