"""What becomes of a stream that breaks, by `engine.stream`, and of a client that waits."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from llmrouter.dialects.common import parse
from llmrouter.engine.memory import Memory
from llmrouter.engine.memory_cache import MemoryCache
from llmrouter.errors import TransportError
from llmrouter.settings import EngineSettings, StreamSettings, TimeoutSettings
from llmrouter.testing import run
from llmrouter.types import Card, Request
from tests.house import Answer, House, Socket, Upstream, chunk, endpoint, error, streamed

CUT = TransportError("truncated", "cut")


def engine(**stream: Any) -> EngineSettings:
    return EngineSettings(stream=StreamSettings(**stream))


def house(first: list[Any], second: list[Any], settings: EngineSettings) -> House:
    return House({"a/m": Upstream([Answer(first)]), "b/m": Upstream([Answer(second)])}, settings=settings)


def called(*parts: str, name: str = "f", finish: str | None = None) -> list[bytes]:
    """A call of a tool, its arguments in pieces."""
    head = {"index": 0, "id": "c1", "type": "function", "function": {"name": name, "arguments": ""}}
    pieces = [head, *({"index": 0, "function": {"arguments": part}} for part in parts)]
    body = [
        {"id": "up", "object": "chat.completion.chunk", "model": "m", "created": 1}
        | {"choices": [{"index": 0, "delta": {"tool_calls": [piece]}, "finish_reason": None}]}
        for piece in pieces
    ]
    done = [chunk(finish=finish), b"data: [DONE]\n\n"] if finish else []
    return [*(b"data: " + msgspec.json.encode(one) + b"\n\n" for one in body), *done]


# ---- verify


@pytest.mark.parametrize(
    "end", [[CUT], [], [b"data: {oops\n\n"], [b'data: {"error": {"message": "x"}}\n\n'], [90.0]]
)
def test_verify_goes_on_where_the_first_answer_broke_off(end: list[Any]) -> None:
    async def main() -> None:
        one = house(
            [chunk("one "), chunk("two "), *end], streamed("o", "ne two thr", "ee"), engine(on_break="verify")
        )
        socket = await one.ask(stream=True)
        assert socket.text == "one two three"
        assert socket.body.endswith(b"data: [DONE]\n\n")
        assert one.record.outcome == "complete"
        assert [step.role for step in one.record.steps] == ["turn", "rescue"]  # type: ignore[union-attr]
        assert one.kinds[1] is None
        one.assert_nothing_is_left()

    run(main())


def test_verify_ends_with_an_error_where_the_second_answer_says_otherwise() -> None:
    async def main() -> None:
        one = house([chunk("one "), chunk("two "), CUT], streamed("one ", "thing"), engine(on_break="verify"))
        socket = await one.ask(stream=True)
        assert socket.text == "one two "
        assert b"[DONE]" not in socket.body
        assert one.record.outcome == "broken"
        assert one.kinds == ["truncated", "diverged"]
        assert one.engine.health.snapshot() == []
        last = msgspec.json.decode(socket.body.rstrip().rsplit(b"data: ", 1)[1])
        assert last["error"]["llmrouter"]["class"] == "truncated"
        one.assert_nothing_is_left()

    run(main())


def test_verify_does_not_go_on_inside_a_call() -> None:
    async def main() -> None:
        one = house([*called('{"a": '), CUT], streamed("never"), engine(on_break="verify"))
        socket = await one.ask(stream=True)
        assert not one.upstreams["b"].calls
        assert one.record.outcome == "broken"
        assert b"[DONE]" not in socket.body

    run(main())


def test_verify_asks_the_next_where_the_second_cannot_answer_at_all() -> None:
    async def main() -> None:
        upstreams = {
            "a/m": Upstream([Answer([chunk("one "), CUT])]),
            "b/m": Upstream([error(500)]),
            "c/m": Upstream([Answer(streamed("one ", "two"))]),
        }
        one = House(upstreams, settings=engine(on_break="verify"))
        assert (await one.ask(stream=True)).text == "one two"
        assert one.kinds == ["truncated", "server_error", None]

    run(main())


def test_what_was_never_written_is_not_gone_on_with() -> None:
    """A client of Gemini is told of calls at the end: of the first answer it has heard nothing."""

    async def main() -> None:
        upstreams = {
            "a/m": Upstream([Answer([*called("{}"), CUT])]),
            "b/m": Upstream([Answer([chunk("one "), CUT])]),
            "c/m": Upstream([Answer(streamed("one ", "two"))]),
        }
        one, socket = House(upstreams, settings=engine(on_break="verify")), Socket()
        fields = parse(b'{"model":"all","stream":true,"contents":[{"role":"user","parts":[{"text":"hi"}]}]}')
        facts = one.world.dialects["gemini.generate"].facts("chat", fields, {})
        await one.engine.serve(Request(replace(facts, id="req_1"), fields), one.world, socket)
        assert one.kinds == ["truncated", "truncated", None]
        assert [step.role for step in one.record.steps] == ["turn", "turn", "rescue"]  # type: ignore[union-attr]
        assert socket.body.count(b"one ") == socket.body.count(b"two") == 1

    run(main())


# ---- buffer


def test_buffer_writes_nothing_before_all_is_there() -> None:
    async def main() -> None:
        seen: list[bytes] = []

        class Watched(Upstream):
            async def send(self, call: Any) -> Any:
                seen.append(socket.body)
                return await super().send(call)

        upstreams = {
            "a/m": Watched([Answer([chunk("half"), CUT])]),
            "b/m": Watched([Answer(streamed("wh", "ole"))]),
        }
        one, socket = House(upstreams, settings=engine(on_break="buffer")), Socket()
        await one.ask(socket, stream=True)
        assert seen == [b"", b""]
        assert socket.text == "whole"
        assert socket.body.endswith(b"data: [DONE]\n\n")
        assert one.kinds == ["truncated", None]
        one.assert_nothing_is_left()

    run(main())


def test_an_answer_that_is_none_is_not_waited_for_once_it_has_finished() -> None:
    async def main() -> None:
        one = house([chunk(finish="stop"), 90.0], streamed("ok"), engine(on_break="buffer"))
        before = one.engine.clock()
        assert (await one.ask(stream=True)).text == "ok"
        assert one.kinds == ["degraded", None]
        assert one.engine.clock() - before < 3

    run(main())


def test_an_answer_that_is_too_large_to_be_held_goes_to_the_next() -> None:
    async def main() -> None:
        settings = EngineSettings(stream=StreamSettings(on_break="buffer"), max_answer=10_000)
        endless = [chunk("".join(f"{n} " for n in range(start, start + 200))) for start in range(0, 20_000, 200)]
        one = house(endless, streamed("ok"), settings)
        assert (await one.ask(stream=True)).text == "ok"
        assert one.kinds == ["malformed_chunk", None]

    run(main())


def test_a_rate_that_is_too_low_is_a_stall_while_another_can_take_over() -> None:
    async def main() -> None:
        settings = EngineSettings(stream=StreamSettings(on_break="buffer"), timeouts=TimeoutSettings(min_rate=5.0))
        crawling = [step for _ in range(200) for step in (chunk("x"), 2.0)]
        one = house(crawling, streamed("ok"), settings)
        before = one.engine.clock()
        assert (await one.ask(stream=True)).text == "ok"
        assert one.kinds == ["stall", None]
        assert one.engine.clock() - before < 25

    run(main())


# ---- tool calls


def test_held_calls_are_written_when_the_answer_is_whole() -> None:
    async def main() -> None:
        one = house([*called('{"a":', "1}"), CUT], called("{}", finish="tool_calls"), engine(hold_tool_calls=True))
        socket = await one.ask(stream=True)
        assert socket.body.count(b'"name":"f"') == 1
        assert b'{\\"a\\":' not in socket.body
        assert one.kinds == ["truncated", None]
        late = house([chunk("text"), *called("{}"), CUT], streamed("never"), engine(hold_tool_calls=True))
        socket = await late.ask(stream=True)
        assert socket.text == "text"
        assert b"tool_calls" not in socket.body
        assert b'"error"' in socket.body

    run(main())


def test_a_call_that_was_held_is_not_written_if_it_is_spoiled() -> None:
    async def main() -> None:
        spoiled = [chunk("text"), *called('{"a":', finish="tool_calls")]
        one = house(spoiled, streamed("never"), engine(hold_tool_calls=True))
        socket = await one.ask(stream=True)
        assert socket.text == "text"
        assert b"tool_calls" not in socket.body
        assert b'"error"' in socket.body
        assert one.kinds == ["degraded"]

    run(main())


def test_a_call_that_is_held_keeps_pace() -> None:
    async def main() -> None:
        settings = EngineSettings(
            stream=StreamSettings(hold_tool_calls=True), timeouts=TimeoutSettings(min_rate=5.0)
        )
        crawling = [step for piece in called(*["1"] * 100) for step in (piece, 2.0)]
        one = house([chunk("text"), 1.0, *crawling], [], settings)
        before = one.engine.clock()
        await one.ask(stream=True)
        assert one.kinds == ["stall"]
        assert one.engine.clock() - before < 25

    run(main())


# ---- what comes before and after


@pytest.mark.parametrize("comments", [64, 65])
def test_a_preamble_is_held_back_only_so_long(comments: int) -> None:
    async def main() -> None:
        one = house([*[b": hello\n\n"] * comments, CUT], streamed("ok"), engine())
        socket = await one.ask(stream=True)
        assert (socket.text == "ok") is (comments == 64)
        assert one.kinds == (["truncated", None] if comments == 64 else ["truncated"])

    run(main())


def test_an_error_ends_an_answer_at_once() -> None:
    async def main() -> None:
        for begin in ([], [chunk("one")]):
            one = house([*begin, b'data: {"error": {"message": "x"}}\n\n', 90.0], streamed("ok"), engine())
            before = one.engine.clock()
            await one.ask(stream=True)
            assert one.kinds[0] == "server_error"
            assert one.engine.clock() - before < 1

    run(main())


# ---- what cannot be read


def test_an_unreadable_event_can_be_left_out() -> None:
    async def main() -> None:
        answer = [chunk("a"), b"data: {oops\n\n", *streamed("b")]
        one = house(answer, streamed("never"), engine(on_malformed="skip"))
        socket = await one.ask(stream=True)
        assert one.record.outcome == "complete"
        assert b"[DONE]" in socket.body
        assert b"oops" not in socket.body
        early = house([b"data: {oops\n\n", *streamed("b")], streamed("ok"), engine(on_malformed="skip"))
        assert (await early.ask(stream=True)).text == "ok"

    run(main())


# ---- a client that waits


def test_a_client_that_waits_is_told_that_somebody_is_there() -> None:
    async def main() -> None:
        one = house([25.0, *streamed("ok")], [], engine())
        socket = await one.ask(stream=True)
        assert socket.body.startswith(b": keep-alive\n\n: keep-alive\n\n")
        assert socket.text == "ok"
        assert one.record.outcome == "complete"

    run(main())


def test_after_a_comment_a_failure_is_an_error_in_band() -> None:
    async def main() -> None:
        upstreams = {"a/m": Upstream([Answer([100.0])])}
        one, socket = House(upstreams, settings=engine()), Socket()
        await one.ask(socket, stream=True)
        assert socket.status == 200
        assert socket.body.startswith(b": keep-alive\n\n")
        assert b'"error"' in socket.body
        assert b"[DONE]" not in socket.body
        assert one.record.outcome == "broken"
        assert socket.body.count(b": keep-alive") <= 3

    run(main())


def test_after_a_comment_another_upstream_still_answers_in_full() -> None:
    async def main() -> None:
        one = house([100.0], streamed("ok"), engine(keep_alive=5.0))
        socket = await one.ask(stream=True)
        assert socket.text == "ok"
        assert one.record.outcome == "complete"
        assert b"keep-alive" in socket.body

    run(main())


@pytest.mark.parametrize("stream", [False, True])
def test_nobody_is_kept_alive_who_has_left(stream: bool) -> None:
    async def main() -> None:
        one = house([500.0], [], engine())
        socket = Socket()
        task = asyncio.create_task(one.ask(socket, stream=stream))
        await asyncio.sleep(12)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        written = socket.body
        await asyncio.sleep(60)
        assert socket.body == written
        assert len(asyncio.all_tasks()) == 1

    run(main())


# ---- what a vendor wants back


@pytest.mark.parametrize("keeps", [False, True])
def test_what_a_later_request_may_refer_to_is_stored_before_it_is_told(keeps: bool) -> None:
    async def main() -> None:
        told: list[int] = []

        class Watching(Socket):
            async def write(self, data: bytes) -> None:
                if b'"finish_reason":"tool_calls"' in data:
                    told.append(len(kept))
                await super().write(data)

        class Kept(MemoryCache):
            async def set(self, key: str, value: bytes, ttl: float) -> None:
                kept.append(key)

        kept: list[str] = []
        thought = {"index": 0, "delta": {"reasoning_content": "hm"}, "finish_reason": None}
        answer = [chunk(choices=[thought]), *called("{}", finish="tool_calls")]
        card = Card(keeps=frozenset({"openai.chat"} if keeps else ()))
        one = House({"a/m": Upstream([Answer(answer)])}, endpoints=[endpoint("a/m", card=card)])
        one.engine.memory = Memory(Kept(1, one.engine.clock), one.engine.log)
        await one.ask(Watching(), stream=True)
        assert told == [int(keeps)]
        assert one.record.outcome == "complete"

    run(main())
