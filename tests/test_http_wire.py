"""Connections of our own, without a socket: whatever comes, in whatever pieces."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmrouter.errors import TransportError
from llmrouter.http.pool import SWEEP
from llmrouter.http.wire import MAX_HEAD, MAX_WAITING, Answer
from llmrouter.testing import run
from tests.wires import Side, cut, failing

OK = b"HTTP/1.1 200 OK\r\nX-One: 1\r\nx-empty:\r\ncontent-length: 5\r\n\r\nhello"
CHUNKED = (
    b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    b"3\r\none\r\n4;name=value\r\n two\r\n0\r\nx-trailer: late\r\n\r\n"
)
NEWS = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nlink: </x>\r\n\r\n"
ANSWERS = {
    "with a length": (OK, 200, b"hello"),
    "in chunks, with a trailer": (CHUNKED, 200, b"one two"),
    "after news on the way": (NEWS + OK, 200, b"hello"),
    "without a body": (b"HTTP/1.1 204 No Content\r\nx-one: 1\r\n\r\n", 204, b""),
    "with lines that end in LF": (OK.replace(b"\r\n", b"\n"), 200, b"hello"),
    "with a space behind a size": (CHUNKED.replace(b"3\r\n", b"3  \r\n"), 200, b"one two"),
}  # fmt: skip


@pytest.mark.parametrize("name", ANSWERS)
@given(at=st.lists(st.integers(0, 1000), max_size=8))
def test_an_answer_is_the_same_in_whatever_pieces_it_comes(name: str, at: list[int]) -> None:
    data, status, body = ANSWERS[name]

    async def main() -> None:
        side = Side()
        for _ in range(2):  # the second time over the same connection
            assert await side.whole(*cut(data, at)) == (status, body)
        assert len(side.dialer.pipes) == 1

    run(main())


def test_headers_are_given_as_they_came_and_no_trailer_is_one() -> None:
    async def main() -> None:
        side = Side()
        assert (await side.ask(OK)).headers == {"x-one": "1", "x-empty": "", "content-length": "5"}
        assert (await side.ask(CHUNKED)).headers == {"transfer-encoding": "chunked"}

    run(main())


@given(data=st.binary(min_size=1, max_size=300), lost=st.booleans())
def test_any_bytes_are_an_answer_or_a_transport_error(data: bytes, lost: bool) -> None:
    async def main() -> None:
        side = Side()
        asking = asyncio.ensure_future(side.whole(data, lost=lost))
        for _ in range(10):
            await asyncio.sleep(0)
        asking.cancel()
        with pytest.raises((TransportError, asyncio.CancelledError)):
            await asking
        assert side.door.busy == 0

    run(main())


@given(place=st.integers(0, len(OK) - 1), byte=st.integers(0, 255))
def test_an_answer_with_a_wrong_byte_leaves_nothing_in_use(place: int, byte: int) -> None:
    async def main() -> None:
        side = Side()
        asking = asyncio.ensure_future(side.whole(OK[:place] + bytes([byte]) + OK[place + 1 :], lost=True))
        await asyncio.wait([asking])
        assert side.door.busy == 0
        assert asking.exception() is None or isinstance(asking.exception(), TransportError)

    run(main())


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (b"", "connect"),
        (b"HTTP/1.1 200 OK\r\nx: ", "connect"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc", "truncated"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", "truncated"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", "truncated"),
        (b"SSH-2.0-OpenSSH_9\r\n", "server_error"),
        (b"HTTP/1.1 099 What\r\n\r\n", "server_error"),
        (b"HTTP/1.1 200 OK\r\nx: " + b"y" * MAX_HEAD, "server_error"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello", "server_error"),
    ],
)
def test_what_goes_wrong_has_a_kind(said: bytes, kind: str) -> None:
    error = failing(said[:9], said[9:], lost=True)
    assert (error.kind, error.sent) == (kind, True)


def test_a_body_of_unknown_length_ends_with_the_connection() -> None:
    async def main() -> None:
        assert await Side().whole(b"HTTP/1.0 200 OK\r\nx: y\r\n\r\nall of", b" it", lost=True) == (
            200,
            b"all of it",
        )

    run(main())


def test_a_reset_inside_a_body_of_unknown_length_is_not_its_end() -> None:
    async def main() -> None:
        side = Side()
        answered = await side.ask(b"HTTP/1.1 200 OK\r\n\r\nall of")
        side.pipe.lose(ConnectionResetError("reset"))
        assert await anext(answered.body) == b"all of"
        with pytest.raises(TransportError, match="reset") as caught:
            await anext(answered.body)
        assert caught.value.kind == "truncated"

    run(main())


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\nconnection: close\r\n", b"HTTP/1.0 200 OK\r\n"])
def test_a_connection_that_is_to_be_closed_is_not_kept(head: bytes) -> None:
    async def main() -> None:
        side = Side()
        for _ in range(2):
            assert await side.whole(head + b"content-length: 2\r\n\r\nok") == (200, b"ok")
        assert len(side.dialer.pipes) == 2
        assert side.dialer.pipes[0].closed

    run(main())


@pytest.mark.parametrize("more", [b"H", b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nno"])
def test_what_follows_an_answer_belongs_to_nobody(more: bytes) -> None:
    async def main() -> None:
        side = Side()
        assert await side.whole(OK + more) == (200, b"hello")
        assert await side.whole(OK) == (200, b"hello")
        assert len(side.dialer.pipes) == 2

    run(main())


def test_a_protocol_that_nobody_asked_for_is_an_answer_without_a_body() -> None:
    async def main() -> None:
        side = Side()
        said = b"HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\nwhatever"
        assert await side.whole(said) == (101, b"")
        assert side.pipe.closed

    run(main())


def test_what_is_not_read_is_not_taken_from_the_other_side() -> None:
    async def main() -> None:
        side = Side()
        answered = await side.ask(b"HTTP/1.1 200 OK\r\ncontent-length: 999999\r\n\r\n")
        pipe = side.pipe
        for _ in range(6):
            if not pipe.paused():
                pipe.say(b"x" * 100_000)
        assert pipe.paused()
        taken = len(await anext(answered.body))
        assert MAX_WAITING < taken < MAX_WAITING + 200_000
        assert not pipe.paused()
        pipe.say(b"x" * 400_000)
        assert pipe.paused()
        pipe.say(b"x" * (999_999 - 400_000 - taken))
        assert not pipe.paused(), "the connection is used by others now"
        assert len(b"".join([chunk async for chunk in answered.body])) == 999_999 - taken

    run(main())


# --- bytes that are poured


CHUNKS = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


class Poured:
    """An answer that is poured by a task, and what was taken of it."""

    def __init__(self, side: Side, take: Callable[[bytes], Awaitable[None] | None] | None = None) -> None:
        self.side, self.got, self.take = side, b"", take

    async def begin(self) -> asyncio.Task[Awaitable[None] | None]:
        self.answer = (await self.side.ask(CHUNKS)).body
        task = asyncio.ensure_future(self.pour())
        await asyncio.sleep(0)
        return task

    async def pour(self) -> Awaitable[None] | None:
        assert isinstance(self.answer, Answer)
        return await self.answer.pour(self._take)

    def _take(self, data: bytes) -> Awaitable[None] | None:
        self.got += data
        return self.take(data) if self.take else None


def test_what_is_poured_is_taken_where_it_comes_in_and_wakes_nobody_before_the_end() -> None:
    async def main() -> None:
        poured = Poured(Side())
        task = await poured.begin()
        for word in (b"one ", b"two "):
            poured.side.pipe.say(chunk(word))
            assert poured.got.endswith(word), "it was taken at once"
        poured.side.pipe.say(chunk(b"three") + b"0\r\n\r\n")
        assert not task.done()
        assert await task is None
        assert poured.got == b"one two three"

    run(main())


def test_pouring_stops_where_there_is_something_to_wait_for_and_goes_on_where_it_stopped() -> None:
    async def main() -> None:
        full = asyncio.get_running_loop().create_future()
        poured = Poured(Side(), lambda data: full if data == b"one" else None)
        task = await poured.begin()
        poured.side.pipe.say(chunk(b"one"))
        poured.side.pipe.say(chunk(b"two"))
        assert await task is full
        assert poured.got == b"one"
        poured.side.pipe.say(chunk(b"three") + b"0\r\n\r\n")
        assert await poured.pour() is None
        assert poured.got == b"onetwothree"

    run(main())


def test_what_fails_while_it_takes_fails_for_who_pours_and_not_for_the_connection() -> None:
    async def main() -> None:
        def refuse(data: bytes) -> None:
            raise ValueError("no")

        poured = Poured(Side(), refuse)
        task = await poured.begin()
        poured.side.pipe.say(chunk(b"one"))
        with pytest.raises(ValueError, match="no"):
            await task
        assert poured.side.door.busy == 1
        poured.answer.close()
        assert poured.side.door.busy == 0

    run(main())


@pytest.mark.parametrize("said", [b"", chunk(b"one"), b"zz"])
def test_pouring_ends_with_a_broken_connection_after_all_that_came(said: bytes) -> None:
    async def main() -> None:
        poured = Poured(Side())
        task = await poured.begin()
        if said:
            poured.side.pipe.say(said)
        poured.side.pipe.lose()
        with pytest.raises(TransportError) as caught:
            await task
        assert caught.value.kind == "truncated"
        assert poured.got == (b"one" if b"one" in said else b"")

    run(main())


def test_pouring_ends_when_the_answer_is_closed() -> None:
    async def main() -> None:
        poured = Poured(Side())
        task = await poured.begin()
        poured.answer.close()
        assert await task is None

    run(main())


@pytest.mark.parametrize("moment", ["waiting", "told", "failed"])
def test_who_pours_may_be_cancelled_at_any_moment(moment: str) -> None:
    async def main() -> None:
        async def never() -> None:
            raise AssertionError("nobody waits for it")

        def take(data: bytes) -> Awaitable[None]:
            if moment == "failed":
                raise ValueError("no")
            return never()

        poured = Poured(Side(), take)
        task = await poured.begin()
        if moment != "waiting":
            poured.side.pipe.say(chunk(b"one"))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        poured.answer.close()
        assert poured.side.door.busy == 0

    run(main())  # and nothing is said of coroutines or errors that nobody saw: warnings are errors here


def test_what_was_poured_before_is_read_otherwise_after_it() -> None:
    async def main() -> None:
        poured = Poured(Side())
        task = await poured.begin()
        task.cancel()
        await asyncio.wait([task])
        reading = asyncio.ensure_future(anext(poured.answer))
        await asyncio.sleep(0)
        poured.side.pipe.say(chunk(b"one"))
        assert await reading == b"one"
        assert not poured.got
        poured.answer.close()

    run(main())


# --- the pool


def test_a_connection_that_is_just_being_closed_is_not_used() -> None:
    async def main() -> None:
        side = Side()
        assert await side.whole(OK) == (200, b"hello")
        side.pipe.closed = True  # what is left of it is to be lost in the next step of the loop
        assert await side.whole(OK) == (200, b"hello")
        assert len(side.dialer.pipes) == 2

    run(main())


def test_a_place_is_given_back_where_no_connection_comes_of_it() -> None:
    async def main() -> None:
        side = Side(limit=1)
        side.dialer.error = ConnectionRefusedError("no")
        for _ in range(2):
            with pytest.raises(TransportError, match="no") as caught:
                await side.whole(OK)
            assert (caught.value.kind, caught.value.sent) == ("connect", False)
        side.dialer.error = None
        assert await side.whole(OK) == (200, b"hello")

    run(main())


def test_a_connection_that_was_idle_for_a_sweep_is_closed() -> None:
    async def main() -> None:
        side = Side()
        first, second = await asyncio.gather(side.door._connected(), side.door._connected())
        for wire in (first, second):
            side.door.take_back(wire, True)
        await asyncio.sleep(SWEEP * 1.5)
        assert await side.whole(OK) == (200, b"hello")  # over the one that came in last
        await asyncio.sleep(SWEEP)
        assert [pipe.closed for pipe in side.dialer.pipes] == [True, False]
        await asyncio.sleep(2 * SWEEP)
        assert all(pipe.closed for pipe in side.dialer.pipes)
        assert side.door._sweeper is None

    run(main())


def test_who_waits_for_a_place_gets_the_next_one() -> None:
    async def main() -> None:
        side = Side(limit=1)
        answered = await side.ask(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n")
        first, second = (asyncio.ensure_future(side.whole(OK)) for _ in range(2))
        await asyncio.sleep(1)
        assert side.door.busy == 1
        first.cancel()
        answered.body.close()
        await asyncio.sleep(1)
        side.pipe.say(OK)
        assert await second == (200, b"hello")
        assert side.door.busy == 0

    run(main())
