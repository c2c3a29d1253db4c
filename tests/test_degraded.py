"""Answers that are none: failures while another may take their place, and told where nothing better came."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from attrs import evolve

from llmrouter.settings import EngineSettings, StreamSettings
from llmrouter.testing import run
from llmrouter.types import Attempt, ToolCall
from tests.house import Answer, House, Socket, Upstream, chunk, plain, streamed

SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
ASKED: dict[str, Any] = {
    "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}},
}
TOOLS: dict[str, Any] = {
    "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
}
LOOP = "and so on, " * 2_000
BUFFER = EngineSettings(stream=StreamSettings(on_break="buffer"))


def called(arguments: str, name: str = "f") -> list[Any]:
    call = {"id": "c1", "type": "function", "function": {"name": name, "arguments": arguments}}
    body = msgspec.json.decode(bytes(plain("")[0]))  # type: ignore[arg-type]
    body["choices"][0] = {
        "index": 0,
        "message": {"role": "assistant", "content": None, "tool_calls": [call]},
        "finish_reason": "tool_calls",
    }
    return [msgspec.json.encode(body)]


BAD: dict[str, tuple[list[Any], dict[str, Any]]] = {
    "empty": (plain(""), {}),
    "loop": (plain(LOOP), {}),
    "no json": (plain("Sure! Here it is"), ASKED),
    "not the schema": (plain('{"a": "1"}'), ASKED),
    "spoiled arguments": (called('{"a": '), TOOLS),
    "no such tool": (called("{}", "g"), TOOLS),
}
GOOD: dict[str, list[Any]] = {"no json": plain('{"a": 1}'), "not the schema": plain('{"a": 1}')}


@pytest.mark.parametrize("name", BAD)
def test_a_degraded_answer_goes_to_the_next(name: str) -> None:
    async def main() -> None:
        script, more = BAD[name]
        good = GOOD.get(name, plain("ok"))
        house = House({"a/m": Upstream([Answer(script)]), "b/m": Upstream([Answer(good)])})
        socket = await house.ask(**more)
        assert socket.body == good[0]
        assert house.kinds == ["degraded", None]
        failed = house.record.steps[0]
        assert isinstance(failed, Attempt)
        assert failed.failure
        assert failed.failure.by == "answer"
        assert failed.usage.output == 5, "what it cost is known"
        house.assert_nothing_is_left()

    run(main())


@pytest.mark.parametrize("name", BAD)
def test_where_nothing_better_came_the_answer_is_given_as_it_is_and_told(name: str) -> None:
    async def main() -> None:
        script, more = BAD[name]
        house = House({"a/m": Upstream([Answer(script)]), "b/m": Upstream([Answer(script)])})
        socket = await house.ask(**more)
        assert socket.status == 200
        assert socket.body == script[0]
        assert socket.headers["x-llmrouter-flaw"]
        assert house.record.outcome == "complete"
        first = house.record.steps[0]
        assert isinstance(first, Attempt)
        assert first.flaw
        house.assert_nothing_is_left()

    run(main())


def test_it_can_be_switched_off() -> None:
    async def main() -> None:
        house = House(
            {"a/m": Upstream([Answer(plain(""))]), "b/m": Upstream([Answer(plain("ok"))])},
            settings=EngineSettings(check_answers=False),
        )
        await house.ask()
        assert house.kinds == [None]

    run(main())


@pytest.mark.parametrize(("finish", "text"), [("length", ""), ("content_filter", "")])
def test_what_was_cut_by_a_limit_or_a_filter_is_not_degraded(finish: str, text: str) -> None:
    async def main() -> None:
        house = House({"a/m": Upstream([Answer(plain(text, finish))]), "b/m": Upstream([Answer(plain("ok"))])})
        await house.ask(**ASKED)
        assert house.kinds == [None]

    run(main())


def test_an_empty_stream_goes_to_the_next() -> None:
    async def main() -> None:
        empty = [chunk(), chunk(finish="stop"), b"data: [DONE]\n\n"]
        house = House({"a/m": Upstream([Answer(empty)]), "b/m": Upstream([Answer(streamed("ok"))])})
        assert (await house.ask(stream=True)).text == "ok"
        assert house.kinds == ["degraded", None]

    run(main())


def test_a_held_stream_that_loops_is_left_at_once() -> None:
    async def main() -> None:
        endless = [chunk("and so on, " * 20) for _ in range(5_000)]
        upstream = Upstream([Answer(endless)])
        house = House({"a/m": upstream, "b/m": Upstream([Answer(streamed("ok"))])}, settings=BUFFER)
        assert (await house.ask(stream=True)).text == "ok"
        assert house.kinds == ["degraded", None]

    run(main())


def test_a_stream_that_was_written_is_not_taken_back_and_counts_all_the_same() -> None:
    async def main() -> None:
        house = House({"a/m": Upstream([Answer(streamed("so ", LOOP))]), "b/m": Upstream([Answer(streamed("ok"))])})
        for _ in range(10):
            assert (await house.ask(stream=True)).text == f"so {LOOP}"
            served = house.record.steps[-1]
            assert isinstance(served, Attempt)
            assert served.flaw
            assert served.failure is None
        assert (await house.ask(stream=True)).text == "ok", "half a failure each: the circuit is open"

    run(main())


# ---- repair


class Mender:
    """Knows one mistake of each kind."""

    def json(self, text: str) -> str | None:
        return text.removeprefix("Sure: ").replace(",}", "}") if text.startswith(("Sure: ", "{")) else None

    def calls(self, text: str, tools: Any) -> list[ToolCall] | None:
        return [ToolCall("call_1", "f", '{"x":1}')] if text.startswith("<tool_call>") else None


MENDED: dict[str, tuple[list[Any], dict[str, Any], str]] = {
    "json": (plain('Sure: {"a": 1}'), ASKED, '{"a": 1}'),
    "arguments": (called('{"a": 1,}'), TOOLS, '{"a": 1}'),
    "calls": (plain('<tool_call>{"name": "f"}'), TOOLS, '{"x":1}'),
}


@pytest.mark.parametrize("name", MENDED)
def test_a_repair_goes_before_the_next_upstream(name: str) -> None:
    async def main() -> None:
        script, more, meant = MENDED[name]
        house = House({"a/m": Upstream([Answer(script)]), "b/m": Upstream([Answer(plain("never"))])})
        house.world = evolve(house.world, repair=Mender())
        socket = await house.ask(**more)
        choice = msgspec.json.decode(socket.body)["choices"][0]
        message = choice["message"]
        if name == "json":
            assert (message["content"], choice["finish_reason"]) == (meant, "stop")
        else:
            assert message["tool_calls"][0]["function"]["arguments"] == meant
            assert choice["finish_reason"] == "tool_calls"
            assert not message["content"]
        served = house.record.steps[-1]
        assert isinstance(served, Attempt)
        assert (served.repaired, served.failure, house.served) == (name, None, "a/m")
        assert msgspec.json.decode(socket.body)["usage"]["total_tokens"] == 15

    run(main())


def test_a_held_stream_is_repaired_too() -> None:
    async def main() -> None:
        house = House({"a/m": Upstream([Answer(streamed("Sure: ", '{"a"', ": 1}"))])}, settings=BUFFER)
        house.world = evolve(house.world, repair=Mender())
        socket = await house.ask(Socket(), stream=True, **ASKED)
        assert socket.text == '{"a": 1}'
        assert socket.body.endswith(b"data: [DONE]\n\n")

    run(main())


def test_what_is_still_wrong_after_a_repair_goes_to_the_next() -> None:
    async def main() -> None:
        house = House(
            {"a/m": Upstream([Answer(plain('Sure: {"b": 1}'))]), "b/m": Upstream([Answer(plain('{"a": 1}'))])}
        )
        house.world = evolve(house.world, repair=Mender())
        assert (await house.ask(**ASKED)).text == '{"a": 1}'
        assert house.kinds == ["degraded", None]

    run(main())


def test_what_was_cut_is_not_repaired() -> None:
    async def main() -> None:
        cut = plain('Sure: {"a": 1}', "length")
        house = House({"a/m": Upstream([Answer(cut)])})
        house.world = evolve(house.world, repair=Mender())
        assert (await house.ask(**ASKED)).body == cut[0]

    run(main())
