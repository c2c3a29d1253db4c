# ruff: noqa: TID251 (this package is the one place that knows the HTTP clients)
"""The only room that knows an HTTP client: pools, time-outs, TLS, and one mapping of their errors.

Traffic goes over connections of our own behind httpx's transport interface: a plugin sees httpx types, httptools
reads what comes, and a request costs 13 µs where it is 22 over aiohttp's connector and parser. httpx's own
transport is there for tests and recordings; it loses pooled connections when its callers are cancelled
(httpcore #1093), so it runs in tasks of ours.

Bodies are asked for as `identity`: a stream of small events gains nothing from compression, a compressor
holds events back, and pass-through then costs no inflating. A server that compresses all the same is read
decoded, without its `content-encoding`. Redirects are not followed, cookies not kept, the environment not read.
"""

from __future__ import annotations

from . import lean_httpx  # noqa: F401 (it comes before httpx)

# isort: split

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal, cast

import httpx
from httpx import URL, AsyncBaseTransport, AsyncByteStream, ByteStream, Headers, MockTransport, Request, Response

from llmrouter.protocols import Transport

from .body import Body, Pair, joined
from .guard import GuardedTransport
from .pool import SWEEP, Answered, Door, PooledTransport, head_of, lines

__all__ = [
    "URL",
    "Answered",
    "AsyncBaseTransport",
    "AsyncByteStream",
    "Body",
    "ByteStream",
    "Door",
    "GuardedTransport",
    "Headers",
    "MockTransport",
    "Pair",
    "PooledTransport",
    "Request",
    "Response",
    "guarded",
    "head_of",
    "joined",
    "lines",
    "open_transport",
]


@asynccontextmanager
async def open_transport(
    *, connect: float, limit: int | None, kind: Literal["pooled", "httpx"] = "pooled"
) -> AsyncIterator[Transport]:
    """A pool of connections. `connect` is in seconds; `limit` None is any number of connections.

    `request.extensions["timeout"]["read"]` bounds the wait for the headers, in seconds from the call; the body
    has no limit of time. Raises TransportError, also while a body is read.
    """
    transport = PooledTransport(connect, limit) if kind == "pooled" else _httpx(connect, limit)
    try:
        yield transport
    finally:
        await transport.aclose()


def guarded(transport: Transport) -> Transport:
    """Any httpx transport with the promises of this room; ours come back as they are."""
    if isinstance(transport, PooledTransport | GuardedTransport):
        return transport
    return GuardedTransport(cast(httpx.AsyncBaseTransport, transport), None)


def _httpx(connect: float, limit: int | None) -> GuardedTransport:
    limits = httpx.Limits(max_connections=limit, keepalive_expiry=2 * SWEEP)
    return GuardedTransport(httpx.AsyncHTTPTransport(limits=limits, trust_env=False), connect)
