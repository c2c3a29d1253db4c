"""A router cancels all day: hedges, deadlines, clients that hang up. No pool may lose a connection to it.

Moments are counted in steps of the loop, not in seconds, so a cancel finds a request in every state it has.
LLMROUTER_SOAK=20 makes every run twenty times as long.
"""

# ruff: noqa: TID251 (the pools of both clients are what is tested)
from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Awaitable, Callable
from typing import Any, Literal

import httpx
import pytest

from llmrouter.http import GuardedTransport, open_transport

ROUNDS = 8 * int(os.environ.get("LLMROUTER_SOAK", "1"))
WORKERS = 40
STEPS = 60  # of the loop, at most, from a request's start to its cancel

Act = Callable[[Any, str, random.Random], Awaitable[None]]
POOLS = pytest.mark.parametrize("limit", [10, 30, 200, None])
KINDS = pytest.mark.parametrize("kind", ["pooled", "pooled on uvloop", "httpx"])
Kind = Literal["pooled", "pooled on uvloop", "httpx"]


async def steps(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, draw: random.Random) -> None:
    """A healthy upstream: plain answers after a moment, streams in pieces, connections kept alive."""
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            if b"content-length: " in head.lower():
                await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]))
            await steps(draw.randrange(12))
            if b" /stream " not in head:
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
                continue
            writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
            for _ in range(10):
                await steps(draw.randrange(6))
                writer.write(b"6\r\ndata\n\n\r\n")
            writer.write(b"0\r\n\r\n")
    except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
        pass
    finally:
        writer.close()


def request(base: str, path: str, draw: random.Random) -> httpx.Request:
    limit = {"timeout": {"read": 10.0}}
    if draw.random() < 0.5:
        return httpx.Request("GET", base + path, extensions=limit)
    return httpx.Request("POST", base + path, content=b'{"a":1}', extensions=limit)


async def ask(transport: Any, base: str, draw: random.Random) -> None:
    response = await transport.handle_async_request(request(base, "/plain", draw))
    try:
        assert b"".join([chunk async for chunk in response.stream]) == b"ok"
    finally:
        response.stream.close()


async def stream(transport: Any, base: str, draw: random.Random) -> None:
    response = await transport.handle_async_request(request(base, "/stream", draw))
    try:
        async for _ in response.stream:
            await steps(draw.randrange(3))
    finally:
        response.stream.close()


async def mixed(transport: Any, base: str, draw: random.Random) -> None:
    await (ask if draw.random() < 0.5 else stream)(transport, base, draw)


async def churn(transport: Any, base: str, act: Act, cancels: int, draw: random.Random) -> int:
    cancelled = 0

    async def worker(draw: random.Random) -> None:
        nonlocal cancelled
        for _ in range(ROUNDS):
            task = asyncio.ensure_future(act(transport, base, draw))
            await steps(draw.randrange(STEPS))
            for _ in range(cancels if draw.random() < 0.8 else 0):
                task.cancel()
                await steps(draw.randrange(2))
            try:
                await task
            except asyncio.CancelledError:
                cancelled += 1

    await asyncio.gather(*(worker(random.Random(draw.random())) for _ in range(WORKERS)))
    return cancelled


async def settled(transport: Any) -> None:
    """What is under way in the background may end; nothing else may be in use after that."""
    async with asyncio.timeout(5):
        while transport.active:
            await asyncio.sleep(0)
    if isinstance(transport, GuardedTransport):
        pool: Any = transport.inner
        assert all(one.is_idle() for one in pool._pool.connections)
        assert not pool._pool._requests


def scenario(kind: Kind, limit: int | None, act: Act, cancels: int) -> None:
    client: Any = kind.split()[0]

    async def main() -> None:
        draw = random.Random(f"{limit}{act.__name__}{cancels}")
        server = await asyncio.start_server(lambda r, w: serve(r, w, draw), "127.0.0.1", 0, backlog=512)
        base = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with server, open_transport(connect=5, limit=limit, kind=client) as transport:
            cancelled = await churn(transport, base, act, cancels, draw)
            assert cancelled > WORKERS, "the churn must cancel something"
            await settled(transport)
            await asyncio.gather(*(ask(transport, base, draw) for _ in range(limit or 20)))
            await settled(transport)

    loop = pytest.importorskip("uvloop").new_event_loop if "uvloop" in kind else None
    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(main())


@POOLS
@KINDS
def test_plain_answers_cancelled_once_leave_nothing_behind(kind: Any, limit: int | None) -> None:
    scenario(kind, limit, ask, 1)


@POOLS
@KINDS
def test_streams_cancelled_once_leave_nothing_behind(kind: Any, limit: int | None) -> None:
    scenario(kind, limit, stream, 1)


@POOLS
@KINDS
def test_requests_cancelled_twice_leave_nothing_behind(kind: Any, limit: int | None) -> None:
    scenario(kind, limit, mixed, 2)
