from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

import msgspec
import pytest

from llmrouter.settings import (
    CacheSettings,
)
from llmrouter.testing import run
from tests.house import ANY_MODEL, Answer, House, Upstream, endpoint, error, plain, streamed


def good(text: str = "hello") -> Upstream:
    return Upstream([Answer(plain(text))])


def bad(status: int = 500, **headers: str) -> Upstream:
    return Upstream([error(status, **headers)])


def in_time(main: Coroutine[Any, Any, None]) -> None:
    run(main)


# ---- names, sessions, cache


def test_a_name_that_is_nothing_is_a_404_and_is_recorded() -> None:
    async def main() -> None:
        house = House({"a/m": good()})
        socket = await house.ask(model="al")
        assert (socket.status, socket.error["code"]) == (404, "model_not_found")
        assert "Did you mean 'all'" in socket.error["message"]
        assert (house.record.outcome, house.record.status, house.record.steps) == ("refused", 404, ())

    in_time(main())


def test_any_model_of_a_provider_can_be_asked_for_by_name() -> None:
    async def main() -> None:
        house = House({"a/*": good()}, endpoints=[endpoint(f"a/{ANY_MODEL}")], tiers=[["a/x"]])
        await house.ask(model="a/brand/new")
        assert bytes(house.upstreams["a"].calls[0].fields["model"]) == b'"brand/new"'
        assert house.served == "a/brand/new"

    in_time(main())


def test_fallbacks_that_a_request_names_come_after_its_model() -> None:
    async def main() -> None:
        house = House({"a/m": bad(), "b/m": good("b")}, tiers=[["a/m"]])
        assert (await house.ask(model="a/m")).status == 502
        socket = await house.ask(model="a/m", models=["a/m", "nothing", "b/m", "b/m", 5])
        assert socket.text == "b"
        assert house.record.decision
        assert [one.candidate.endpoint for one in house.record.decision.plan] == ["a/m", "b/m"]
        assert [one.candidate.tier for one in house.record.decision.plan] == [0, 1]
        assert house.record.facts.fallbacks == ("a/m", "nothing", "b/m", "b/m")

    in_time(main())


def test_fallbacks_are_read_as_far_as_they_are_names() -> None:
    async def main() -> None:
        house = House({"a/m": good()})
        odd: tuple[Any, ...] = ("a/m", None, {}, [1, None])
        for models in odd:
            await house.ask(models=models)
            assert house.record.facts.fallbacks == ()
        await house.ask(models=["a/m"] * 100)
        assert len(house.record.facts.fallbacks) == 8

    in_time(main())


def test_a_session_stays_with_who_served_it() -> None:
    async def main() -> None:
        flaky = Upstream([error(500), Answer(plain("a"))])
        house = House({"a/m": flaky, "b/m": good("b")})
        session = {"x-llmrouter-session": "s1"}
        assert (await house.ask(headers=session)).text == "b"
        assert (await house.ask(headers=session)).text == "b"
        assert house.record.decision
        assert house.record.decision.reason == "session"
        assert (await house.ask()).text == "a"

    in_time(main())


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("then", [False, True])
def test_an_exact_request_is_answered_from_its_recording_in_either_shape(first: bool, then: bool) -> None:
    async def main() -> None:
        up = Upstream([Answer(streamed("hel", "lo") if first else plain())])
        house = House({"a/m": up}, cache=CacheSettings())
        await house.ask(stream=first, temperature=0)
        assert house.cache == "miss"
        socket = await house.ask(stream=then, temperature=0)
        assert (socket.text, socket.headers["x-llmrouter-cache"]) == ("hello", "hit")
        assert house.cache == "hit"
        assert house.record.decision is None
        assert b"chatcmpl-up" not in socket.body
        assert len(up.calls) == 1
        if then:
            assert socket.body.endswith(b"data: [DONE]\n\n")

    in_time(main())


def test_the_cache_is_asked_only_for_what_may_be_repeated() -> None:
    async def main() -> None:
        up = good()
        house = House({"a/m": up}, cache=CacheSettings())
        for body in ({}, {"temperature": 0.5}, {"temperature": 0, "tools": []}):
            await house.ask(**body)
        for wish in ("no", "refresh"):
            await house.ask(temperature=0)
            calls = len(up.calls)
            await house.ask(temperature=0, headers={"x-llmrouter-cache": wish})
            assert len(up.calls) == calls + 1
        await house.ask(temperature=0, model="a/m")
        assert house.cache == "miss"

    in_time(main())


def test_a_recording_counts_only_while_its_endpoint_belongs_to_the_name() -> None:
    async def main() -> None:
        house = House({"a/m": good("a"), "b/m": good("b")}, tiers=[["a/m"]], cache=CacheSettings())
        await house.ask(temperature=0)
        other = House({"a/m": good("a"), "b/m": good("b")}, tiers=[["b/m"]], cache=CacheSettings())
        other.engine.cache = house.engine.cache
        assert (await other.ask(temperature=0)).text == "b"

    in_time(main())


def test_a_broken_cache_is_a_miss() -> None:
    class Broken:
        async def get(self, key: str) -> bytes | None:
            raise OSError("disk gone")

        async def set(self, key: str, value: bytes, ttl: float) -> None:
            raise OSError("disk gone")

        async def clear(self, prefix: str) -> int:
            return 0

    async def main() -> None:
        house = House({"a/m": good()}, cache=CacheSettings())
        house.engine.cache = Broken()
        assert (await house.ask(temperature=0)).status == 200

    in_time(main())


def test_a_replay_changes_no_letter_but_its_id() -> None:
    async def main() -> None:
        answer = plain("hello").pop()
        assert isinstance(answer, bytes)
        house = House({"a/m": Upstream([Answer([answer.replace(b"chatcmpl-up", b"e")])])}, cache=CacheSettings())
        await house.ask(temperature=0)
        socket = await house.ask(temperature=0)
        assert (socket.text, msgspec.json.decode(socket.body)["id"]) == ("hello", "chatcmpl-1")

    in_time(main())
