"""Heads that come again are not read again, and nobody can tell."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from uvicorn.server import ServerState

from llmrouter.server import heads
from llmrouter.server.callers import SAID
from llmrouter.server.channel import Channel
from llmrouter.server.heads import Heads
from llmrouter.server.protocol import Protocol
from llmrouter.testing import run
from tests.serving import done

Seen = list[tuple[dict[str, Any], bytes]]

POST = b"POST /v1/chat/completions?a=b HTTP/1.1\r\nHost: here\r\n"
HEADS = (
    POST + b"Authorization: Bearer one\r\nContent-Length: %d\r\nAccept: */*\r\n\r\n",
    POST + b"Authorization: Bearer two\r\ncontent-length: %d\r\n\r\n",
    POST + b"X-Content-Length: 7\r\nX: content-length: 9\r\nCONTENT-LENGTH: %d\r\n\r\n",
    POST + b"content-length:%d\r\n\r\n",
    POST + b"content-length: %d \r\n\r\n",
    POST + b"content-length: 00%d\r\n\r\n",
    POST + b"connection: keep-alive\r\ncontent-length: %d\r\nexpect: 100-continue\r\n\r\n",
    POST + b"connection: upgrade\r\nupgrade: h2c\r\ncontent-length: %d\r\n\r\n",
    POST + b"connection: upgrade\r\nupgrade: websocket\r\ncontent-length: %d\r\n\r\n",
    b"CONNECT here:1 HTTP/1.1\r\ncontent-length: %d\r\n\r\n",
    POST + b"connection: close\r\ncontent-length: %d\r\n\r\n",
    POST.replace(b"1.1", b"1.0") + b"content-length: %d\r\n\r\n",
    b"GET /v1/models HTTP/1.1\r\nhost: here\r\n\r\n",
    POST + b"transfer-encoding: chunked\r\n\r\n%x\r\n",
    POST + b"content-length: -%d\r\n\r\n",
    POST + b"content-length: %d\r\ncontent-length: 3\r\n\r\n",
    POST + b"content-length: %d\r\nbroken\r\n\r\n",
)
WEBSOCKET, CONNECT, CLOSE = 8, 9, 10


def request(kind: int, body: bytes) -> bytes:
    head = HEADS[kind]
    if b"chunked" in head:
        return head % len(body) + body + b"\r\n0\r\n\r\n" if body else head[: head.index(b"%x")] + b"0\r\n\r\n"
    return head % len(body) + body if b"%d" in head else head


class Transport(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        self.written += bytes(data)

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default


class App:
    """Notes what is asked, and gives the body back."""

    def __init__(self) -> None:
        self.seen: Seen = []

    async def serve(self, scope: dict[str, Any], channel: Channel) -> None:
        body = channel.at_hand(1 << 20)
        if body is None:
            body, more = b"", True
            while more:
                message = await channel.receive()
                if message["type"] == "http.disconnect":
                    return
                body, more = body + message["body"], message["more_body"]
        self.seen.append(({**scope, SAID: None}, body))
        await done(channel.answer(200, {}, body))


def told(
    pieces: Sequence[bytes], learned: int, patch: pytest.MonkeyPatch, hurried: bool = False
) -> tuple[Seen, bytes, bool]:
    """What an app was asked, what was written, and whether the connection was closed then.

    `hurried`: all packets are there before the first is answered.
    """

    async def main() -> tuple[Seen, bytes, bool]:
        app, transport = App(), Transport()
        config: Any = SimpleNamespace(app=app, timeout_keep_alive=75)
        protocol = Protocol(config, ServerState(), {}, asyncio.get_running_loop())
        protocol.connection_made(transport)
        for piece in pieces:
            if not transport.closed:
                protocol.data_received(piece)
                await settled(hurried)
        await settled()
        protocol.connection_lost(None)
        await settled()
        return app.seen, transport.written, transport.closed

    with patch.context() as context:
        context.setattr(heads, "LEARNED", learned)
        return run(main())


async def settled(hurried: bool = False) -> None:
    """Let everything run that can: what waits for more of a body stays."""
    for _ in range(0 if hurried else 40):
        await asyncio.sleep(0)


Asked = tuple[int, bytes, Sequence[int], bool]
"""Kind and body of a request, where it is cut into packets, and whether the next one begins in its last packet."""

KINDS = st.sampled_from([0, 0, 0, 0, 1, 1, *range(len(HEADS))])
NESTED = [request(kind, b"z" * 5) for kind in (0, 1)]
BODIES = st.sampled_from([b"", b"x" * 5, b"y" * 5, b"x" * 40, *NESTED])
CUTS = st.lists(st.sampled_from([-len(one) for one in NESTED] * 20 + [*range(-5, 200, 7)]), max_size=2)
REQUESTS = st.tuples(KINDS, BODIES, CUTS, st.booleans())


def packets(asked: Sequence[Asked]) -> list[bytes]:
    found, rest = [], b""
    for kind, body, places, joined in asked:
        said = request(kind, body)
        edges = [0, *sorted({place % len(said) for place in places} - {0}), len(said)]
        *whole, last = [said[a:b] for a, b in pairwise(edges)]
        found += [rest + one for one in whole[:1]] + whole[1:]
        rest = last if whole else rest + last
        if not joined:
            found.append(rest)
            rest = b""
    return [*found, rest] if rest else found


@settings(max_examples=500)
@given(st.lists(REQUESTS, min_size=2, max_size=8), st.booleans())
@example([(0, b"x", [], True), (1, b"x", [], False), (0, b"x", [], False)], False)
@example([(0, b"x", [], False), (WEBSOCKET, b"x", [], False), (0, b"x", [], False)], False)
@example([(WEBSOCKET, b"x", [], False)] * 3, False)
@example([(0, b"x", [], False), (CONNECT, b"x", [], False), (0, b"x", [], False)], False)
@example([(0, b"x", [], False), (CLOSE, b"x", [], False), (0, b"x", [], False)], True)
def test_nobody_can_tell_what_was_not_read_again(asked: list[Asked], hurried: bool) -> None:
    pieces = packets(asked)
    with pytest.MonkeyPatch.context() as patch:
        assert told(pieces, 4, patch, hurried) == told(pieces, 0, patch, hurried)


@pytest.mark.parametrize("kind", range(3))
def test_a_head_that_comes_again_is_known_whatever_its_length(kind: int) -> None:
    known, scope = Heads(), {"query_string": b"", "headers": [(b"a", b"b"), (b"content-length", b"3")]}
    known.learn(HEADS[kind] % 3 + b"abc", scope)
    found = known.again(HEADS[kind] % 12 + b"def")
    assert found is not None
    again, owed, body = found
    assert (owed, body) == (9, b"def")
    assert again["headers"] == [(b"a", b"b"), (b"content-length", b"12")]
    assert scope["headers"][1] == (b"content-length", b"3")
    once_more = known.again(HEADS[kind] % 0)
    assert once_more is not None
    assert once_more[0][SAID] is again[SAID]  # put together once for all of them


def test_the_parser_does_not_see_what_comes_again(monkeypatch: pytest.MonkeyPatch) -> None:
    heads_read = []
    read = Protocol.on_headers_complete

    def counted(self: Protocol) -> None:
        heads_read.append(1)
        read(self)

    monkeypatch.setattr(Protocol, "on_headers_complete", counted)
    whole = [request(0, b"x" * size) for size in (1, 20, 300)]
    in_parts = [piece for one in whole for piece in (one[:-1], one[-1:])]
    seen, _, _ = told([*whole, *in_parts], 4, monkeypatch)
    assert len(seen) == 6
    assert len(heads_read) == 1


def test_who_never_says_the_same_is_not_listened_to_for_ever() -> None:
    known, scope = Heads(), {"query_string": b"", "headers": [(b"content-length", b"3")]}
    for number in range(heads.LEARNED + 1):
        said = POST + b"x-trace: %d\r\ncontent-length: 3\r\n\r\nabc" % number
        assert known.again(said) is None
        known.learn(said, scope)
    assert known.again(said) is None
    assert known.again(said.replace(b"x-trace: 4", b"x-trace: 3")) is not None


def test_a_head_without_a_length_does_not_make_a_known_one_forgotten() -> None:
    known, scope = Heads(), {"query_string": b"", "headers": [(b"content-length", b"3")]}
    known.learn(HEADS[1] % 3 + b"abc", scope)
    known.learn(
        b"GET /v1/models HTTP/1.1\r\nhost: here\r\n\r\n", {"query_string": b"", "headers": [(b"host", b"here")]}
    )
    assert known.again(HEADS[1] % 5 + b"defgh") is not None
