"""Clients that leave, that are slow, and the end of a server while answers flow."""

from __future__ import annotations

import asyncio
import signal
from typing import Any

import msgspec
import pytest

from llmrouter.protocols import Client
from llmrouter.server import connection, protocol, runner
from llmrouter.server.answers import Answer, Refused
from llmrouter.server.channel import OverASGI
from llmrouter.server.connection import Connection, Gone, Running
from llmrouter.testing import run
from llmrouter.types import Request
from llmrouter.types import Wire as Wired

from .serving import (
    CHAT,
    FACTS,
    HELLO,
    STREAM,
    done,
    head,
    hello,
    read_answer,
    read_chunk,
    read_head,
    read_rest,
    router_with,
    site,
)

FOREVER = 3600.0


async def never(request: Request, client: Client) -> None:
    await asyncio.sleep(FOREVER)


async def endless(request: Request, client: Client) -> None:
    """A stream that begins and does not end."""
    await done(client.start(200, {"content-type": "text/event-stream"}))
    await done(client.write(b"data: 1\n\n"))
    await asyncio.sleep(FOREVER)


@pytest.mark.parametrize(("answer", "body"), [(never, HELLO), (never, STREAM), (endless, STREAM)])
def test_a_client_that_leaves_cancels_its_request_within_a_second(answer: Any, body: bytes) -> None:
    async def main() -> tuple[int, float, int]:
        async with site(router_with(answer)) as one:
            reader, writer = await one.open()
            writer.write(head("POST", CHAT, body) + body)
            if answer is endless:
                await read_head(reader)
            while not one.router.engine.requests:
                await asyncio.sleep(0)
            loop = asyncio.get_running_loop()
            left = loop.time()
            writer.close()
            await asyncio.wait_for(one.router.engine.ended.wait(), 5)
            return one.router.engine.cancelled, loop.time() - left, len(one.app.running)

    cancelled, seconds, running = asyncio.run(main())
    assert (cancelled, running) == (1, 0)
    assert seconds < 1.0


def test_a_client_that_leaves_before_its_body_is_whole_costs_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> tuple[int, int]:
        async with site() as one:
            _, writer = await one.open()
            writer.write(head("POST", CHAT, content_length="500") + b"{")
            while not one.app.running:
                await asyncio.sleep(0)
            writer.close()
            await asyncio.wait_for(one.app.running.idle(), 5)
            return len(one.router.engine.requests), len(one.app.running)

    assert asyncio.run(main()) == (0, 0)
    assert caplog.records == []


def test_a_slow_answer_is_served_with_a_listener_and_leaves_none_behind() -> None:
    async def answer(request: Request, client: Client) -> None:
        await asyncio.sleep(connection.BEAT * 2)
        await hello(request, client)

    async def main() -> tuple[int, int]:
        async with site(router_with(answer)) as one:
            before = len(asyncio.all_tasks())
            status = (await one.post()).status
            await asyncio.sleep(0)
            return status, len(asyncio.all_tasks()) - before

    assert asyncio.run(main()) == (200, 0)


def test_a_body_that_does_not_arrive_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "BODY_TIME", 0.1)

    async def main() -> tuple[int, str, int]:
        async with site() as one:
            reader, writer = await one.open()
            writer.write(head("POST", CHAT, content_length="500") + b"{")
            got = await asyncio.wait_for(read_answer(reader), 5)
            writer.close()
            return got.status, got.headers["connection"], len(one.router.engine.requests)

    assert asyncio.run(main()) == (408, "close", 0)


def test_a_client_that_does_not_read_holds_its_stream_back() -> None:
    written = 0

    async def flood(request: Request, client: Client) -> None:
        nonlocal written
        await done(client.start(200, {}))
        for _ in range(1000):
            await done(client.write(b"x" * 100_000))
            written += 1

    async def main() -> int:
        async with site(router_with(flood)) as one:
            reader, writer = await one.open()
            writer.write(head("POST", CHAT, STREAM) + STREAM)
            await read_head(reader)
            seen = -1
            while seen != written:  # until nothing more is taken
                seen = written
                await asyncio.sleep(0.05)
            writer.close()
            await asyncio.wait_for(one.router.engine.ended.wait(), 5)
            return seen

    assert 0 < asyncio.run(main()) < 900


def test_running_streams_get_their_time_and_then_an_error_in_band() -> None:
    async def main() -> tuple[bytes, int]:
        async with site(router_with(endless, drain=0.2)) as one:
            reader, writer = await one.open()
            writer.write(head("POST", CHAT, STREAM) + STREAM)
            _, headers = await read_head(reader)
            await read_chunk(reader)
            one.server.handle_exit(signal.SIGTERM, None)
            rest = await asyncio.wait_for(read_rest(reader, headers), 5)
            writer.close()
            return rest, one.router.engine.cancelled

    assert asyncio.run(main()) == (b'data: {"error":{"code":"router_stopping"}}\n\n', 1)


def test_a_plain_request_that_outlives_the_drain_is_told_to_come_back() -> None:
    async def begun(request: Request, client: Client) -> None:
        await done(client.start(200, {}))
        await done(client.write(b"half of it"))
        await asyncio.sleep(FOREVER)

    async def main() -> tuple[int, str, Any]:
        async with site(router_with(begun, drain=0.2)) as one:
            asking = asyncio.create_task(one.post())
            while not one.router.engine.requests:
                await asyncio.sleep(0)
            one.server.handle_exit(signal.SIGTERM, None)
            got = await asyncio.wait_for(asking, 5)
            return got.status, got.headers["retry-after"], got.json["error"]["code"]

    assert asyncio.run(main()) == (503, "1", "router_stopping")


def test_an_answer_that_ends_while_draining_ends_well() -> None:
    release = asyncio.Event

    async def main() -> int:
        held = release()

        async def answer(request: Request, client: Client) -> None:
            await held.wait()
            await hello(request, client)

        async with site(router_with(answer)) as one:
            asking = asyncio.create_task(one.post())
            while not one.router.engine.requests:
                await asyncio.sleep(0)
            one.server.handle_exit(signal.SIGTERM, None)
            held.set()
            return (await asking).status

    assert asyncio.run(main()) == 200


def test_a_foreign_cancellation_passes() -> None:
    async def main() -> None:
        async with site(router_with(never)) as one:
            asking = asyncio.create_task(one.post())
            while not one.router.engine.requests:
                await asyncio.sleep(0)
            for task in one.server.server_state.tasks:
                task.cancel()
            assert (await asking).status == 500

    asyncio.run(main())


UPGRADE = {"connection": "Upgrade, HTTP2-Settings", "upgrade": "h2c", "http2_settings": "AAEAAEAAAAIAAAAB"}


@pytest.mark.parametrize("size", [1, 40, 10_000])
@pytest.mark.parametrize("more", [{}, {"expect": "100-continue"}])
def test_a_wish_for_another_protocol_costs_no_body(size: int, more: dict[str, str]) -> None:
    """The second request is there before the first is answered; packets are of any size."""
    sent = (head("POST", CHAT, HELLO, **{**UPGRADE, **more}) + HELLO) * 2

    async def main() -> tuple[list[int], list[str]]:
        async with site() as one:
            reader, writer = await one.open()
            [connection] = await _served(one)
            for at in range(0, len(sent), size):
                connection.data_received(sent[at : at + size])
            got = [await asyncio.wait_for(_final(reader), 5) for _ in range(2)]
            writer.close()
            return got, [each.facts.asked for each in one.router.engine.requests]

    assert asyncio.run(main()) == ([200, 200], ["fast", "fast"])


async def _served(one: Any) -> Any:
    """The server's side of the connections."""
    while not (found := list(one.server.server_state.connections)):
        await asyncio.sleep(0)
    return found


async def _final(reader: asyncio.StreamReader) -> int:
    while (begun := await read_head(reader))[0] == 100:
        pass
    await read_rest(reader, begun[1])
    return begun[0]


def test_a_chunked_body_after_a_wish_for_another_protocol_is_read_from_a_second_packet() -> None:
    async def main() -> int:
        async with site() as one:
            reader, writer = await one.open()
            writer.write(head("POST", CHAT, b"", transfer_encoding="chunked", **UPGRADE))
            while not one.app.running:
                await asyncio.sleep(0)
            writer.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(HELLO), HELLO))
            got = await asyncio.wait_for(read_answer(reader), 5)
            writer.close()
            return got.status

    assert asyncio.run(main()) == 200


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        (head("GET", "/", b"", **UPGRADE), 200),
        (head("GET", "/", connection="upgrade", upgrade="websocket"), 426),
        (b"CONNECT example.com:443 HTTP/1.1\r\nhost: example.com\r\n\r\n", 400),
    ],
)
def test_what_asks_for_another_protocol_and_has_no_body_is_answered(asked: bytes, status: int) -> None:
    async def main() -> int:
        async with site() as one:
            reader, writer = await one.open()
            writer.write(asked)
            line = await asyncio.wait_for(reader.readline(), 5)
            writer.close()
            return int(line.split()[1])

    assert asyncio.run(main()) == status


def test_a_value_that_no_header_may_have_does_not_cost_the_answer() -> None:
    async def answer(request: Request, client: Client) -> None:
        await done(client.start(200, {"x-odd": "a\x01b\r\nc: dé"}))
        await done(client.write(b"{}"))

    async def main() -> tuple[int, str]:
        async with site(router_with(answer)) as one:
            got = await one.post()
            return got.status, got.headers["x-odd"]

    status, value = asyncio.run(main())
    assert (status, value[:9]) == (200, "a?b??c: d")


def test_a_connection_is_read_on_after_requests_that_came_together() -> None:
    asked = head("POST", CHAT, HELLO, connection="keep-alive") + HELLO

    async def main() -> list[int]:
        async with site() as one:
            reader, writer = await one.open()
            found = []
            for together in (2, 1):
                writer.write(asked * together)
                found += [(await asyncio.wait_for(read_answer(reader), 5)).status for _ in range(together)]
            writer.close()
            return found

    assert asyncio.run(main()) == [200, 200, 200]


def test_a_head_without_end_is_cut_off() -> None:
    async def main() -> tuple[bytes, bytes]:
        async with site() as one:
            reader, writer = await one.open()
            writer.write(b"GET / HTTP/1.1\r\n" + b"x-filler: y\r\n" * (protocol.MAX_HEAD // 13))
            answer = await reader.read()
            writer.close()
            return answer[:12], (await one.get("/")).body[:1]

    assert asyncio.run(main()) == (b"HTTP/1.1 431", b"{")


@pytest.mark.parametrize("start", [b"", b"GET / HT", head("GET", "/", connection="keep-alive") + b"GET /"])
def test_a_head_that_does_not_arrive_is_not_waited_for(start: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "HEAD_TIME", 0.1)

    async def main() -> bytes:
        async with site() as one:
            reader, writer = await one.open()
            writer.write(start)
            answer = await asyncio.wait_for(reader.read(), 5)
            writer.close()
            return answer

    assert asyncio.run(main()).startswith(b"HTTP/1.1 200") == start.endswith(b"\r\nGET /")


def test_over_another_server_than_our_own_all_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "Protocol", "h11")

    async def main() -> tuple[str, bytes, int]:
        async with site(router_with(endless)) as one:
            reader, writer = await one.open()
            writer.write(head("POST", CHAT, STREAM) + STREAM)
            await read_head(reader)
            chunk = await read_chunk(reader)
            writer.close()
            await asyncio.wait_for(one.router.engine.ended.wait(), 5)
            protocol = one.server.config.http_protocol_class.__name__
            return protocol, chunk, one.router.engine.cancelled

    assert asyncio.run(main()) == ("H11Protocol", b"data: 1\n\n", 1)


# --- without a socket


class Wire:
    """ASGI's two functions. Receiving waits when there is nothing left."""

    def __init__(self, *messages: dict[str, Any]) -> None:
        self.messages = list(messages)
        self.sent: list[Any] = []

    async def receive(self) -> dict[str, Any]:
        if not self.messages:
            await asyncio.sleep(FOREVER)
        return self.messages.pop(0)

    async def send(self, message: Any) -> None:
        self.sent.append(message)


def body(data: bytes, more: bool = False) -> dict[str, Any]:
    return {"type": "http.request", "body": data, "more_body": more}


LEFT = {"type": "http.disconnect"}


def over(wire: Wire) -> Connection:
    return Connection(OverASGI(wire.receive, wire.send), "req_1")


def read(*messages: dict[str, Any], limit: int = 4) -> bytes:
    async def main() -> bytes:
        return await over(Wire(*messages)).read(limit)

    return run(main())


def test_a_body_is_read_to_its_end_and_no_further_than_the_limit() -> None:
    assert read(body(b"ab", True), body(b"", True), body(b"cd")) == b"abcd"
    with pytest.raises(Refused):
        read(body(b"ab", True), body(b"cd", True), body(b"e"))
    with pytest.raises(Refused):
        read(*[body(b"abcd", True)] * 5, body(b"never asked for"))
    with pytest.raises(Gone):
        read(body(b"ab", True), LEFT)


@pytest.mark.parametrize(("stream", "length"), [(False, [b"4"]), (True, [])])
def test_an_answer_has_its_own_length_and_an_id(stream: bool, length: list[bytes]) -> None:
    async def main() -> Any:
        wire = Wire()
        one = over(wire)
        one.request = Request(msgspec.structs.replace(FACTS, wire=Wired("openai.chat", stream)), {})
        await done(one.start(200, {"content-length": "9"}))
        for data in (b"bo", b"dy"):
            await done(one.write(data))
        await done(one.finish())
        assert b"".join(message["body"] for message in wire.sent[1:]) == b"body"
        return wire.sent[0]["headers"]

    pairs = run(main())
    assert [value for name, value in pairs if name == b"content-length"] == length
    assert (b"x-request-id", b"req_1") in pairs


@pytest.mark.parametrize("stream", [False, True])
def test_a_head_that_the_server_refuses_leaves_room_for_an_error(stream: bool) -> None:
    class Strict(Wire):
        async def send(self, message: Any) -> None:
            if (b"x-bad", b"1") in message.get("headers", ()):
                raise RuntimeError("Invalid HTTP header name.")
            await super().send(message)

    async def begun(one: Connection) -> None:
        await done(one.start(200, {"x-bad": "1"}))
        await done(one.finish())

    async def main() -> Any:
        wire = Strict()
        one = over(wire)
        one.request = Request(msgspec.structs.replace(FACTS, wire=Wired("openai.chat", stream)), {})
        with pytest.raises(RuntimeError, match="Invalid"):
            await begun(one)
        assert not one.started
        await one.answer(Answer(500, b"{}"))
        return wire.sent[0]["status"]

    assert run(main()) == 500


def test_the_time_for_a_body_grows_with_what_has_come() -> None:
    async def main(size: int) -> float:
        running, one = Running(), over(Wire(body(b"x" * size, True)))
        running.add(one)
        began = asyncio.get_running_loop().time()
        with pytest.raises(asyncio.CancelledError):
            await one.read(10**9)
        assert one.end == "slow"
        running.discard(one)
        return asyncio.get_running_loop().time() - began

    assert run(main(10)) == pytest.approx(30, abs=0.5)
    assert run(main(10 * connection.MIN_RATE)) == pytest.approx(40, abs=0.5)


def test_only_the_first_reason_ends_a_request_and_none_ends_one_that_is_done() -> None:
    async def main() -> None:
        one, other = over(Wire()), over(Wire())
        one.cancel("stopping")
        one.cancel("gone")
        with pytest.raises(asyncio.CancelledError):
            await asyncio.sleep(0)
        assert one.end == "stopping"
        other.close()
        other.cancel("gone")
        await asyncio.sleep(0)
        assert other.end == ""

    run(main())


def test_nothing_beats_while_nothing_runs() -> None:
    async def main() -> int:
        running, one = Running(), over(Wire())
        running.add(one)
        await asyncio.sleep(connection.BEAT * 3.5)
        running.discard(one)
        beats = one.beats
        await asyncio.sleep(60)
        running.add(again := over(Wire(LEFT)))
        with pytest.raises(asyncio.CancelledError):
            await asyncio.sleep(60)
        assert again.end == "gone"
        running.discard(again)
        await running.idle()
        return beats

    assert run(main()) == 3
