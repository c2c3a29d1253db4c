"""Identical deterministic requests that are under way at once share one upstream call."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from llmrouter.engine.attempt import Broken
from llmrouter.engine.exchange import Exchange
from llmrouter.errors import TransportError
from llmrouter.settings import EngineSettings, StreamSettings, TimeoutSettings
from llmrouter.testing import run
from llmrouter.types import Attempt, Frame, Text, Wire
from tests.house import Answer, House, Socket, Upstream, chunk, error, plain, streamed

LONG = EngineSettings(timeouts=TimeoutSettings(headers=200.0, ttft_hard=200.0, idle=200.0))
SAME: dict[str, Any] = {"temperature": 0, "seed": 1}


def script(text: str, stream: bool) -> list[Any]:
    return [chunk(text[:2]), 1.0, *streamed(text[2:])] if stream else [1.0, *plain(text)]


async def crowd(house: House, count: int, **more: Any) -> list[Socket]:
    return [*await asyncio.gather(*(house.ask(**SAME, **more) for _ in range(count)))]


@pytest.mark.parametrize("stream", [False, True])
def test_a_hundred_identical_requests_are_one_call(stream: bool) -> None:
    async def main() -> None:
        house = House({"a/m": Upstream([Answer(script("hello", stream))])})
        sockets = await crowd(house, 100, stream=stream)
        assert len(house.upstreams["a"].calls) == 1
        assert {socket.body for socket in sockets} == {sockets[0].body}
        assert sockets[0].text == "hello"
        assert sorted(socket.headers["x-llmrouter-cache"] for socket in sockets) == ["bypass"] + ["shared"] * 99
        shared = [record for record in house.records.all if record.shared]
        assert len(shared) == 99
        assert all(record.cost == 0.0 and record.outcome == "complete" and not record.steps for record in shared)
        house.assert_nothing_is_left()

    run(main())


def test_a_stream_is_followed_as_it_comes() -> None:
    async def main() -> None:
        house = House({"a/m": Upstream([Answer([chunk("a"), 5.0, *streamed("b")])])})
        sockets = [Socket(), Socket()]
        tasks = [asyncio.create_task(house.ask(socket, stream=True, **SAME)) for socket in sockets]
        await asyncio.sleep(1)
        assert [socket.text for socket in sockets] == ["a", "a"]
        await asyncio.gather(*tasks)
        assert [socket.text for socket in sockets] == ["ab", "ab"]

    run(main())


def test_either_shape_follows_the_other() -> None:
    async def main() -> None:
        house = House({"a/m": Upstream([Answer(script("hello", True))])})
        one, other = Socket(), Socket()
        await asyncio.gather(house.ask(one, stream=True, **SAME), house.ask(other, stream=False, **SAME))
        assert (one.text, other.text) == ("hello", "hello")
        assert len(house.upstreams["a"].calls) == 1

    run(main())


@pytest.mark.parametrize(
    "more", [{"temperature": 1}, {}, {"temperature": 0, "messages": [{"role": "user", "content": "x"}]}]
)
def test_what_may_be_answered_otherwise_is_asked_for_itself(more: dict[str, Any]) -> None:
    async def main() -> None:
        house = House({"a/m": Upstream([Answer(script("hello", False))])})
        await asyncio.gather(house.ask(**SAME), house.ask(**more))
        assert len(house.upstreams["a"].calls) == 2

    run(main())


def test_it_can_be_switched_off_and_clients_do_not_share() -> None:
    async def main() -> None:
        off = House({"a/m": Upstream([Answer(script("hello", False))])}, settings=EngineSettings(coalesce=False))
        await crowd(off, 3)
        assert len(off.upstreams["a"].calls) == 3
        two = House({"a/m": Upstream([Answer(script("hello", False))])})
        requests = [two.request(client=client, **SAME) for client in ("one", "other")]
        await asyncio.gather(*(two.engine.serve(request, two.world, Socket()) for request in requests))
        assert len(two.upstreams["a"].calls) == 2

    run(main())


def test_a_failing_leader_wakes_the_rest() -> None:
    async def main() -> None:
        failing = error(400)
        failing.wait = 1.0
        house = House({"a/m": Upstream([failing, Answer(plain("own"))])})
        sockets = await crowd(house, 10)
        assert sorted(socket.status for socket in sockets) == [200] * 9 + [400]
        assert len(house.upstreams["a"].calls) == 10
        house.assert_nothing_is_left()

    run(main())


@pytest.mark.parametrize("stream", [False, True])
def test_a_leader_that_leaves_is_followed_by_another(stream: bool) -> None:
    async def main() -> None:
        house = House({"a/m": Upstream([Answer([5.0, *script("hello", stream)])])})
        leader = asyncio.create_task(house.ask(stream=stream, **SAME))
        await asyncio.sleep(1)
        rest = asyncio.create_task(crowd(house, 10, stream=stream))
        await asyncio.sleep(1)
        leader.cancel()
        sockets = await rest
        assert [socket.text for socket in sockets] == ["hello"] * 10
        assert len(house.upstreams["a"].calls) == 2
        house.assert_nothing_is_left()

    run(main())


def test_who_followed_a_leader_that_left_in_the_middle_gets_the_rest_by_itself() -> None:
    async def main() -> None:
        house = House(
            {"a/m": Upstream([Answer([chunk("he"), 5.0, *streamed("llo")]), Answer(streamed("hell", "o"))])}
        )
        leader = asyncio.create_task(house.ask(stream=True, **SAME))
        follower = Socket()
        following = asyncio.create_task(house.ask(follower, stream=True, **SAME))
        await asyncio.sleep(1)
        assert follower.text == "he"
        leader.cancel()
        await following
        assert follower.text == "hello"
        assert follower.body.endswith(b"data: [DONE]\n\n")
        assert house.record.outcome == "complete"
        [step] = house.record.steps
        assert isinstance(step, Attempt)
        assert step.role == "rescue"

    run(main())


@pytest.mark.parametrize("on_break", ["error", "verify"])
def test_a_leader_that_breaks_in_the_middle_breaks_its_followers_unless_they_verify(on_break: Any) -> None:
    async def main() -> None:
        cut = Answer([chunk("he"), 1.0, TransportError("truncated", "cut")])
        settings = EngineSettings(stream=StreamSettings(on_break=on_break))
        house = House({"a/m": Upstream([cut]), "b/m": Upstream([Answer(streamed("hello"))])}, settings=settings)
        sockets = await crowd(house, 5, stream=True)
        whole = on_break == "verify"
        assert {socket.text for socket in sockets} == {"hello" if whole else "he"}
        for socket in sockets:
            assert (b"[DONE]" in socket.body) is whole
            if not whole:
                last = msgspec.json.decode(socket.body.rstrip().rsplit(b"data: ", 1)[1])
                assert last["error"]["llmrouter"]["class"] == "truncated"

    run(main())


@pytest.mark.parametrize("stream", [False, True])
def test_who_follows_keeps_to_its_own_deadline(stream: bool) -> None:
    async def main() -> None:
        slow = [chunk("he"), 100.0, *streamed("llo")] if stream else [100.0, *plain("hello")]
        house = House({"a/m": Upstream([Answer(slow)])}, settings=LONG)
        leader = asyncio.create_task(house.ask(stream=stream, **SAME))
        await asyncio.sleep(1)
        before = house.engine.clock()
        socket = await house.ask(headers={"x-request-timeout": "5"}, stream=stream, **SAME)
        assert house.engine.clock() - before == pytest.approx(5.0, abs=0.1)
        assert (b"deadline" if stream else b"deadline_exceeded") in socket.body
        assert b"[DONE]" not in socket.body
        assert (await leader).text == "hello"
        assert len(house.upstreams["a"].calls) == 1

    run(main())


def test_who_has_passed_on_more_than_the_leader_does_not_follow_its_second_answer() -> None:
    """A writer of Gemini's holds calls back until the end: it may still begin anew, a follower may not."""

    async def main() -> None:
        house = House({"a/m": Upstream([Answer(streamed("ab"))])})
        flight = house.engine.flights.begin("key", "req_0")
        assert flight
        exchange = Exchange(house.engine, house.request(stream=True, **SAME), house.world, Socket())
        exchange._flight, exchange._key = flight, "key"
        flight.take([Frame(Wire("openai.chat", True), b"", (Text("a"),))])
        exchange._begin_anew()
        assert not vars(exchange)["_flight"]
        assert house.engine.flights.get("key") is None
        with pytest.raises(Broken) as broken:
            await flight.more(1)
        assert broken.value.failure.kind == "cancelled"
        exchange.close()

    run(main())
