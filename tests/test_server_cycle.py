from __future__ import annotations

from typing import Any

import pytest

from llmrouter.server.cycle import Cycle
from llmrouter.testing import run

LENGTH = (b"content-length", b"4")


class Wire:
    """A connection that only takes down: protocol and transport in one."""

    default_headers = ((b"date", b"now"),)
    is_full = False
    ready = None

    def __init__(self) -> None:
        self.transport = self.state = self
        self.writes: list[bytes] = []
        self.closed = False

    def write(self, data: bytes) -> None:
        self.writes.append(data)

    def close(self) -> None:
        self.closed = True

    def answered(self) -> None:
        self.writes.append(b"done")


def sent(
    *bodies: bytes, status: int = 200, method: str = "POST", headers: Any = (), keep_alive: bool = True
) -> Wire:
    """What a wire is written when an answer of these pieces is sent."""
    wire = Wire()
    protocol: Any = wire

    async def main() -> None:
        cycle = Cycle(protocol, {"type": "http", "method": method}, keep_alive)
        await cycle.send({"type": "http.response.start", "status": status, "headers": headers})
        assert wire.writes == []
        for place, body in enumerate(bodies, 1):
            await cycle.send({"type": "http.response.body", "body": body, "more_body": place < len(bodies)})

    run(main())
    return wire


def test_the_head_of_an_answer_is_sent_with_what_follows_it() -> None:
    wire = sent(b"body", headers=[LENGTH])
    assert wire.writes == [b"HTTP/1.1 200 OK\r\ndate: now\r\ncontent-length: 4\r\n\r\nbody", b"done"]
    assert not wire.closed


def test_an_answer_of_unknown_length_goes_in_chunks() -> None:
    wire = sent(b"one", b"", b"two", b"")
    head = b"HTTP/1.1 200 OK\r\ndate: now\r\ntransfer-encoding: chunked\r\n\r\n"
    assert wire.writes == [head + b"3\r\none\r\n", b"3\r\ntwo\r\n", b"0\r\n\r\n", b"done"]


def test_an_answer_to_head_has_no_body() -> None:
    head = b"HTTP/1.1 200 OK\r\ndate: now\r\ncontent-length: 4\r\n\r\n"
    assert sent(b"body", method="HEAD", headers=[LENGTH]).writes == [head, b"done"]
    assert sent(b"", status=204).writes == [b"HTTP/1.1 204 No Content\r\ndate: now\r\n\r\n", b"done"]


def test_a_connection_is_closed_where_either_side_wants_it() -> None:
    for wire in (sent(b"", keep_alive=False), sent(b"", headers=[(b"connection", b"Close")])):
        assert wire.writes[0].lower().count(b"connection: close\r\n") == 1
        assert wire.closed


@pytest.mark.parametrize("odd", [b"a\r\nset-cookie: b", b"a\nb", b"a\0", b"a\x7f"])
def test_no_header_can_add_another(odd: bytes) -> None:
    with pytest.raises(RuntimeError, match="control character"):
        sent(b"", headers=[(b"x-odd", odd)])
    assert b"x-odd: a\tb\xe9\r\n" in sent(b"", headers=[(b"x-odd", b"a\tb\xe9")]).writes[0]


def test_an_answer_is_as_long_as_it_said() -> None:
    with pytest.raises(RuntimeError, match="longer"):
        sent(b"too much", headers=[LENGTH])
    with pytest.raises(RuntimeError, match="shorter"):
        sent(b"", headers=[LENGTH])


def test_messages_in_the_wrong_order_are_refused() -> None:
    protocol: Any = Wire()

    async def main() -> None:
        cycle = Cycle(protocol, {"type": "http", "method": "GET"}, True)
        with pytest.raises(RuntimeError, match=r"goes on with http\.response\.start"):
            await cycle.send({"type": "http.response.body", "body": b""})

    run(main())
