# ruff: noqa: TID251 (what is tested here is the room that knows the HTTP clients)
from __future__ import annotations

import asyncio
import gzip
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from llmrouter.errors import TransportError
from llmrouter.http import guarded, open_transport
from llmrouter.testing import run

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
both = pytest.mark.parametrize("kind", ["pooled", "httpx"])
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


class Upstream:
    """A loopback server that does what its handler says, once per connection."""

    def __init__(self, handler: Handler) -> None:
        self.handler = handler
        self.connections = 0
        self.requests: list[bytes] = []

    async def read(self, reader: asyncio.StreamReader) -> bytes:
        """The next request: head and body."""
        head = await reader.readuntil(b"\r\n\r\n")
        length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
        self.requests.append(head + await reader.readexactly(int(length or 0)))
        return self.requests[-1]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            await self.handler(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def upstream(answer: bytes | Handler, keep: bool = True) -> AsyncIterator[tuple[Upstream, str]]:
    """A server that answers every request with the same bytes, or does as it is told."""

    async def repeat(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert isinstance(answer, bytes)
        while True:
            await it.read(reader)
            writer.write(answer)
            if not keep:
                return await writer.drain()

    it = Upstream(repeat if isinstance(answer, bytes) else answer)
    server = await asyncio.start_server(it.serve, "127.0.0.1", 0)
    async with server:
        yield it, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def request(url: str, method: str = "POST", body: bytes = b"{}", read: float | None = 5.0) -> httpx.Request:
    return httpx.Request(method, url, content=body, extensions={"timeout": {"read": read}})


async def whole(response: httpx.Response) -> bytes:
    stream: Any = response.stream
    try:
        return b"".join([chunk async for chunk in stream])
    finally:
        stream.close()


async def idle(transport: Any) -> None:
    async with asyncio.timeout(5):
        while transport.active:
            await asyncio.sleep(0)


def failing(main: Coroutine[Any, Any, Any]) -> TransportError:
    with pytest.raises(TransportError) as caught:
        asyncio.run(main)
    return caught.value


async def fetch(kind: Any, url: str, **how: Any) -> bytes:
    async with open_transport(connect=5, limit=None, kind=kind) as transport:
        return await whole(await transport.handle_async_request(request(url, **how)))


async def fetch_from(kind: Any, answer: bytes | Handler, keep: bool = False, **how: Any) -> bytes:
    async with upstream(answer, keep) as (_, base):
        return await fetch(kind, base + "/x", **how)


@both
def test_a_request_arrives_as_it_was_made_and_its_answer_as_it_was_sent(kind: Any) -> None:
    async def main() -> None:
        answer = b"HTTP/1.1 418 Teapot\r\nX-One: 1\r\nx-two: a\r\nx-two: b\r\ncontent-length: 5\r\n\r\nhello"
        async with upstream(answer) as (it, base), open_transport(connect=5, limit=None, kind=kind) as transport:
            sent = request(base + "/v1/a%20b?key=c%2Fd", body=b'{"a": 1.50}')
            sent.headers["authorization"] = "Bearer k"
            response = await transport.handle_async_request(sent)
            assert (response.status_code, response.headers["x-one"]) == (418, "1")
            assert response.headers["x-two"] == "a, b"
            assert await whole(response) == b"hello"
            head, _, body = it.requests[0].partition(b"\r\n\r\n")
            assert head.startswith(b"POST /v1/a%20b?key=c%2Fd HTTP/1.1\r\n")
            assert b"authorization: bearer k" in head.lower()
            assert body == b'{"a": 1.50}'

    asyncio.run(main())


@both
def test_a_body_of_megabytes_is_sent_whole(kind: Any) -> None:
    async def main() -> None:
        async with upstream(OK) as (it, base):
            body = bytes(range(256)) * 8192
            assert await fetch(kind, base, body=body) == b"ok"
            assert it.requests[0].endswith(body)

    asyncio.run(main())


def test_a_body_that_comes_in_pieces_is_sent_with_the_head() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"{"
        yield b"}"

    async def main() -> None:
        async with upstream(OK) as (it, base), open_transport(connect=5, limit=None) as transport:
            sent = httpx.Request("POST", base, headers={"content-length": "2"}, content=pieces())
            assert await whole(await transport.handle_async_request(sent)) == b"ok"
            assert it.requests[0].endswith(b"\r\n\r\n{}")

    asyncio.run(main())


@both
def test_a_connection_is_used_again_when_its_body_was_read_to_the_end(kind: Any) -> None:
    async def main() -> None:
        async with upstream(OK) as (it, base), open_transport(connect=5, limit=None, kind=kind) as transport:
            for _ in range(3):
                assert await whole(await transport.handle_async_request(request(base))) == b"ok"
                await idle(transport)
            assert it.connections == 1

    asyncio.run(main())


@both
def test_close_returns_at_once_ends_the_waiting_reader_and_drops_the_connection(kind: Any) -> None:
    async def main() -> None:
        gone = asyncio.Event()

        async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await it.read(reader)
            writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n")
            try:
                await reader.read()
            finally:
                gone.set()

        async with upstream(endless) as (it, base), open_transport(connect=5, limit=1, kind=kind) as transport:
            response = await transport.handle_async_request(request(base))
            stream: Any = response.stream
            chunks = aiter(stream)
            assert await anext(chunks) == b"one"
            waiting = asyncio.ensure_future(anext(chunks, b"end"))
            await asyncio.sleep(0)
            stream.close()
            stream.close()
            await stream.aclose()
            assert await asyncio.wait_for(waiting, 5) == b"end"
            assert [chunk async for chunk in stream] == []
            await asyncio.wait_for(gone.wait(), 5)
            await idle(transport)

    asyncio.run(main())


@both
def test_a_closed_answer_gives_nothing_of_what_had_arrived(kind: Any) -> None:
    async def main() -> None:
        async with upstream(OK) as (_, base), open_transport(connect=5, limit=None, kind=kind) as transport:
            response = await transport.handle_async_request(request(base))
            stream: Any = response.stream
            stream.close()
            assert [chunk async for chunk in stream] == []

    asyncio.run(main())


@both
def test_the_transport_closes_while_answers_are_open(kind: Any) -> None:
    async def main() -> None:
        endless = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n"
        async with upstream(endless) as (_, base):
            async with open_transport(connect=5, limit=None, kind=kind) as transport:
                response = await transport.handle_async_request(request(base))
            stream: Any = response.stream
            stream.close()

    asyncio.run(main())


# --- what goes wrong


def refused_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@both
@pytest.mark.parametrize("url", ["http://127.0.0.1:%d/", "http://no-such-host.invalid:%d/"])
def test_an_upstream_that_cannot_be_reached_is_a_connect_error(kind: Any, url: str) -> None:
    assert vars(failing(fetch(kind, url % refused_port()))) == {"kind": "connect", "sent": False}


@both
def test_a_server_without_tls_is_a_connect_error(kind: Any) -> None:
    async def main() -> None:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(1)
            writer.write(OK)

        async with upstream(answer) as (_, base):
            await fetch(kind, base.replace("http:", "https:"))

    assert failing(main()).kind == "connect"


@both
def test_a_connection_that_is_not_accepted_in_time_is_a_connect_error(kind: Any) -> None:
    async def main() -> None:
        with socket.socket() as full, socket.socket() as one, socket.socket() as two:
            full.bind(("127.0.0.1", 0))
            full.listen(0)
            for waiting in (one, two):
                waiting.setblocking(False)
                waiting.connect_ex(full.getsockname())
            await asyncio.sleep(0)
            async with open_transport(connect=0.05, limit=None, kind=kind) as transport:
                await transport.handle_async_request(request(f"http://127.0.0.1:{full.getsockname()[1]}"))

    assert failing(main()).kind == "connect"


@both
def test_a_connection_closed_before_the_headers_is_a_connect_error(kind: Any) -> None:
    assert vars(failing(fetch_from(kind, b""))) == {"kind": "connect", "sent": True}
    assert failing(fetch_from(kind, b"HTTP/1.1 200 OK\r\nx: ")).kind == "connect"


@both
def test_a_reset_before_the_headers_is_a_connect_error(kind: Any) -> None:
    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.transport.abort()

    assert failing(fetch_from(kind, reset)).kind == "connect"


@both
def test_silence_is_a_time_out_of_the_headers(kind: Any) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    assert failing(fetch_from(kind, silent, read=0.03)).kind == "timeout_headers"


@both
def test_headers_that_trickle_do_not_outlive_the_time_out(kind: Any) -> None:
    async def trickle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n")
        while not writer.is_closing():
            writer.write(b"x: y\r\n")
            await asyncio.sleep(0.01)

    assert failing(fetch_from(kind, trickle, read=0.05)).kind == "timeout_headers"


@both
def test_the_time_out_does_not_reach_the_body(kind: Any) -> None:
    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\no")
        await asyncio.sleep(0.15)
        writer.write(b"k")
        await writer.drain()

    assert asyncio.run(fetch_from(kind, slow, read=0.1)) == b"ok"


@both
def test_waiting_for_a_connection_of_the_pool_counts_towards_the_headers(kind: Any) -> None:
    async def main() -> None:
        stuck = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n"
        async with upstream(stuck) as (_, base), open_transport(connect=5, limit=1, kind=kind) as transport:
            first: Any = await transport.handle_async_request(request(base))
            try:
                await transport.handle_async_request(request(base, read=0.03))
            finally:
                first.stream.close()

    assert failing(main()).kind == "timeout_headers"


@both
@pytest.mark.parametrize(
    "head",
    [
        b"x: " + b"y" * 100 + b"\r\n",
        b"y" * 1000,
        b"x: y\r\n" * 1000,
        b"\xff\xfe\x00 not HTTP at all\r\n",
    ],
    ids=["endless headers", "an endless header", "many headers", "no headers"],
)
def test_a_head_without_measure_is_an_error_and_not_a_full_memory(kind: Any, head: bytes) -> None:
    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n")
        while not writer.is_closing():
            writer.write(head)
            await writer.drain()

    assert failing(fetch_from(kind, endless)).kind == "server_error"


@both
@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n",
    ],
)
def test_an_answer_that_breaks_off_is_truncated(kind: Any, answer: bytes) -> None:
    assert failing(fetch_from(kind, answer)).kind == "truncated"


@both
@pytest.mark.parametrize("end", [b"", b"zz\r\n"], ids=["a reset", "a chunk without a size"])
def test_what_came_before_the_break_is_given_first(kind: Any, end: bytes) -> None:
    async def main() -> None:
        async def broken(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await it.read(reader)
            writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n")
            await go.wait()
            writer.write(end)
            await reader.read() if end else writer.transport.abort()

        go = asyncio.Event()
        async with upstream(broken) as (it, base), open_transport(connect=5, limit=None, kind=kind) as transport:
            response = await transport.handle_async_request(request(base))
            chunks = aiter(response.stream)
            assert await anext(chunks) == b"abc"
            go.set()
            with pytest.raises(TransportError, match=r".") as caught:
                await anext(chunks)
            response.stream.close()
            assert caught.value.kind == "truncated"

    asyncio.run(main())


def test_a_line_break_in_a_header_sends_nothing() -> None:
    async def main() -> None:
        async with upstream(OK) as (it, base), open_transport(connect=5, limit=None) as transport:
            sent = request(base)
            sent.headers["x-a"] = "b\r\nx-c: d"
            try:
                await transport.handle_async_request(sent)
            finally:
                assert it.connections == 0

    assert failing(main()).kind == "internal"


def test_an_address_that_is_not_http_says_what_it_should_be() -> None:
    assert "http://" in str(failing(fetch("pooled", "ftp://127.0.0.1/")))


# --- what is left alone


@both
def test_redirects_are_answers_and_cookies_are_forgotten(kind: Any) -> None:
    async def main() -> None:
        answer = b"HTTP/1.1 302 Found\r\nlocation: /y\r\nset-cookie: a=b\r\ncontent-length: 0\r\n\r\n"
        async with upstream(answer) as (it, base), open_transport(connect=5, limit=None, kind=kind) as transport:
            for _ in range(2):
                response = await transport.handle_async_request(request(base + "/x"))
                assert (response.status_code, response.headers["location"]) == (302, "/y")
                assert await whole(response) == b""
            assert all(one.startswith(b"POST /x") and b"cookie" not in one.lower() for one in it.requests)

    asyncio.run(main())


@both
def test_proxies_of_the_environment_are_ignored(kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{refused_port()}")
    assert asyncio.run(fetch_from(kind, OK)) == b"ok"


@both
def test_a_body_that_comes_compressed_all_the_same_is_read_decoded(kind: Any) -> None:
    async def main() -> None:
        packed = gzip.compress(b"hello")
        answer = b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(packed) + packed
        async with upstream(answer) as (_, base), open_transport(connect=5, limit=None, kind=kind) as transport:
            response = await transport.handle_async_request(request(base))
            assert await whole(response) == b"hello"
            assert not {"content-encoding", "content-length"} & set(response.headers)

    asyncio.run(main())


@both
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_answers_without_a_body_leave_the_connection_usable(kind: Any, method: str) -> None:
    async def main() -> None:
        answer = b"HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 204 No\r\n\r\n" if method == "GET" else OK[:-2]
        async with upstream(answer) as (it, base), open_transport(connect=5, limit=None, kind=kind) as transport:
            for _ in range(2):
                response = await transport.handle_async_request(request(base, method=method, body=b""))
                assert await whole(response) == b""
                await idle(transport)
            assert it.connections == 1

    asyncio.run(main())


@pytest.mark.parametrize("late", [False, True])
def test_what_an_idle_connection_says_is_nobodys_answer(late: bool) -> None:
    async def main() -> None:
        async def chatty(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await it.read(reader)
            writer.write(OK if late else OK + OK.replace(b"ok", b"no"))
            if late:
                await go.wait()
                writer.write(OK.replace(b"ok", b"no"))
            said.set()
            await reader.read()

        go, said = asyncio.Event(), asyncio.Event()
        async with upstream(chatty) as (it, base), open_transport(connect=5, limit=None) as transport:
            assert await whole(await transport.handle_async_request(request(base))) == b"ok"
            go.set()
            await said.wait()
            await asyncio.sleep(0.01)
            assert await whole(await transport.handle_async_request(request(base))) == b"ok"
            assert it.connections == 2

    asyncio.run(main())


# --- any other transport


def test_a_transport_of_ones_own_gets_the_same_promises() -> None:
    async def main() -> None:
        transport = guarded(httpx.MockTransport(lambda request: httpx.Response(201, text="hi")))
        assert guarded(transport) is transport
        response = await transport.handle_async_request(request("http://x"))
        assert (response.status_code, await whole(response)) == (201, b"hi")

    run(main())


def test_an_error_of_a_transport_of_ones_own_is_mapped_too() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("no")

    async def main() -> None:
        await guarded(httpx.MockTransport(refuse)).handle_async_request(request("http://x"))

    with pytest.raises(TransportError, match="ConnectError: no"):
        run(main())


def test_what_is_no_transport_error_stays_what_it_is() -> None:
    def bug(request: httpx.Request) -> httpx.Response:
        raise AssertionError("a bug")

    async def main() -> None:
        await guarded(httpx.MockTransport(bug)).handle_async_request(request("http://x"))

    with pytest.raises(AssertionError, match="a bug"):
        run(main())
