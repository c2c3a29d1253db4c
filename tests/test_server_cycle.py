from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from llmrouter.server.channel import Channel, OverASGI
from llmrouter.server.cycle import Cycle
from llmrouter.testing import run
from tests.serving import done

LENGTH = (b"content-length", b"4")


class Wire:
    """A connection that only takes down: protocol and transport in one."""

    default_headers = ((b"date", b"now"),)

    def __init__(self) -> None:
        self.transport = self.state = self
        self.is_full = False
        self.loop = asyncio.get_running_loop()
        self.writes: list[bytes] = []
        self.closed = False

    def write(self, data: bytes) -> None:
        self.writes.append(data)

    def close(self) -> None:
        self.closed = True

    def answered(self) -> None:
        self.writes.append(b"done")

    def resume_reading(self) -> None:
        pass

    async def drain(self) -> None:
        self.writes.append(b"waits")
        self.is_full = False


def sent(
    *bodies: bytes, status: int = 200, method: str = "POST", headers: Any = (), keep_alive: bool = True
) -> Wire:
    """What a wire is written when an answer of these pieces is sent."""

    async def main() -> Wire:
        wire = Wire()
        cycle = over(wire, method, keep_alive)
        await cycle.send({"type": "http.response.start", "status": status, "headers": headers})
        assert wire.writes == []
        for place, body in enumerate(bodies, 1):
            await cycle.send({"type": "http.response.body", "body": body, "more_body": place < len(bodies)})
        return wire

    return run(main())


def over(wire: Any, method: str = "POST", keep_alive: bool = True, headers: Any = ()) -> Cycle:
    return Cycle(wire, {"type": "http", "method": method, "headers": headers}, keep_alive)


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
    async def main() -> None:
        cycle = over(Wire(), "GET")
        with pytest.raises(RuntimeError, match=r"goes on with http\.response\.start"):
            await cycle.send({"type": "http.response.body", "body": b""})

    run(main())


# --- the short way


Answers = Callable[[Channel], Awaitable[None] | None]


def both(answer: Answers, method: str = "POST", keep_alive: bool = True) -> Wire:
    """What a wire is written when a channel is told this: the same by the short way and in ASGI's messages."""

    async def main() -> list[Wire]:
        wires = [Wire(), Wire()]
        for wire in wires:
            cycle = over(wire, method, keep_alive)
            await done(answer(cycle if wire is wires[0] else OverASGI(cycle.receive, cycle.send)))
        return wires

    short, long = run(main())
    assert (short.writes, short.closed) == (long.writes, long.closed)
    return short


def test_a_whole_answer_is_one_packet_with_its_length() -> None:
    wire = both(lambda channel: channel.answer(200, {"x-one": "1", "x-two": "2"}, b"body"))
    head = b"HTTP/1.1 200 OK\r\ndate: now\r\nx-one: 1\r\nx-two: 2\r\ncontent-length: 4\r\n\r\n"
    assert wire.writes == [head + b"body", b"done"]
    assert both(lambda channel: channel.answer(299, {}, b"")).writes[0].startswith(b"HTTP/1.1 299 \r\n")
    without = both(lambda channel: channel.answer(200, {"x-one": "1", "x-two": "2"}, b"body"), method="HEAD")
    assert without.writes == [head, b"done"]


def test_a_stream_goes_in_chunks_and_its_head_with_the_first() -> None:
    async def stream(channel: Channel) -> None:
        await done(channel.begin(200, {"x-one": "1"}))
        for data in (b"", b"one", b"", b"twelve bytes"):  # an empty chunk would be the last
            await done(channel.write(data))
        await done(channel.finish())

    async def empty(channel: Channel) -> None:
        await done(channel.begin(200, {}))
        await done(channel.finish())

    head = b"HTTP/1.1 200 OK\r\ndate: now\r\n%stransfer-encoding: chunked\r\n\r\n"
    wire = both(empty)
    assert wire.writes == [head % b"" + b"0\r\n\r\n", b"done"]
    short = told(stream)
    assert short.writes == [
        head % b"x-one: 1\r\n" + b"3\r\none\r\n", b"c\r\ntwelve bytes\r\n", b"0\r\n\r\n", b"done",
    ]  # fmt: skip
    assert not short.closed


def told(answer: Callable[[Cycle], Awaitable[None] | None], full: bool = False, lost: bool = False) -> Wire:
    """What a wire is written by the short way, to a client that does not read at first, or that has left."""

    async def main() -> Wire:
        wire = Wire()
        wire.is_full = full
        cycle = over(wire)
        if lost:
            cycle.lose()
        await done(answer(cycle))
        return wire

    return run(main())


def test_either_side_closes_the_connection_by_the_short_way_too() -> None:
    for wire in (
        both(lambda channel: channel.answer(200, {}, b""), keep_alive=False),
        both(lambda channel: channel.answer(200, {"connection": "close"}, b"")),
    ):
        assert wire.writes[0].count(b"connection: close\r\n") == 1
        assert wire.closed


@pytest.mark.parametrize("odd", ["a\r\nset-cookie: b", "a\nb", "a\0", "a\x7f", "\x85a", "€"])
def test_what_no_header_may_have_costs_a_character_and_not_the_answer(odd: str) -> None:
    wire = both(lambda channel: channel.answer(200, {"x-odd": odd, "x-fine": "é"}, b"body"))
    tamed = "".join(one if one.isprintable() and one != "€" else "?" for one in odd).encode()
    assert b"\r\nx-odd: %s\r\nx-fine: \xe9\r\n" % tamed in wire.writes[0]


def test_a_client_that_does_not_read_is_waited_for() -> None:
    async def stream(cycle: Cycle) -> None:
        cycle.begin(200, {})
        await done(cycle.write(b"one"))
        await done(cycle.write(b"two"))

    assert [write[-3:] for write in told(stream, full=True).writes] == [b"e\r\n", b"its", b"o\r\n"]
    assert told(lambda cycle: cycle.answer(200, {}, b"body"), full=True).writes[0] == b"waits"


def test_nothing_is_written_to_a_client_that_has_left() -> None:
    async def stream(cycle: Cycle) -> None:
        cycle.begin(200, {})
        await done(cycle.write(b"one"))
        cycle.finish()

    assert told(stream, lost=True).writes == told(lambda cycle: cycle.answer(200, {}, b""), lost=True).writes == []


def test_an_answer_has_one_head() -> None:
    async def twice(cycle: Cycle) -> None:
        await done(cycle.answer(200, {}, b""))
        with pytest.raises(RuntimeError, match="one head"):
            await done(cycle.answer(500, {}, b""))

    assert len(told(twice).writes) == 2


def test_a_body_is_at_hand_when_all_of_it_has_come_and_is_given_once() -> None:
    async def main() -> None:
        cycle = over(Wire())
        cycle.feed(b"ab")
        assert cycle.at_hand(4) is None
        cycle.feed(b"cd")
        cycle.end()
        assert cycle.at_hand(3) is None
        assert cycle.at_hand(4) == b"abcd"
        waiting = asyncio.ensure_future(cycle.receive())
        await asyncio.sleep(0)
        assert not waiting.done()
        cycle.lose()
        assert await waiting == {"type": "http.disconnect"}
        gone = over(Wire())
        gone.end()
        gone.lose()
        assert gone.at_hand(4) is None

    run(main())


def test_a_client_that_waits_for_a_word_is_told_to_go_on_where_its_body_has_not_come() -> None:
    async def main() -> tuple[list[bytes], list[bytes]]:
        wires = Wire(), Wire()
        waits, sent = (over(wire, headers=[(b"expect", b"100-Continue")]) for wire in wires)
        sent.end()
        assert not (await sent.receive())["more_body"]
        reading = asyncio.ensure_future(waits.receive())
        await asyncio.sleep(0)
        waits.feed(b"ab")
        assert (await reading)["body"] == b"ab"
        reading = asyncio.ensure_future(waits.receive())
        await asyncio.sleep(0)
        waits.end()
        assert not (await reading)["more_body"]
        return wires[0].writes, wires[1].writes

    assert run(main()) == ([b"HTTP/1.1 100 Continue\r\n\r\n"], [])
