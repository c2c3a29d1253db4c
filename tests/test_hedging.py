"""Two calls at once against a long silence: the first to say something wins, and the other ends."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from llmrouter.errors import TransportError
from llmrouter.settings import EngineSettings, HedgeSettings, StreamSettings, TimeoutSettings
from llmrouter.testing import run
from llmrouter.types import Account, Attempt, Card, Price
from tests.house import Answer, House, Upstream, chunk, endpoint, error, plain, streamed

HEDGED = EngineSettings(hedge=HedgeSettings(at="soft_ttft"))


def script(text: str, stream: bool) -> list[Any]:
    return streamed(text) if stream else plain(text)


def roles(house: House) -> list[str]:
    return [step.role for step in house.record.steps if isinstance(step, Attempt)]


@pytest.mark.parametrize("stream", [False, True])
def test_a_silent_upstream_is_overtaken_and_its_reply_closed(stream: bool) -> None:
    async def main() -> None:
        silent = Upstream([Answer([1_000.0, *script("late", stream)])])
        house = House({"a/m": silent, "b/m": Upstream([Answer(script("ok", stream))])}, settings=HEDGED)
        before = house.engine.clock()
        socket = await house.ask(stream=stream)
        assert socket.text == "ok"
        assert house.engine.clock() - before == pytest.approx(10.0, abs=0.1)
        assert house.kinds == ["lost", None]
        assert roles(house) == ["turn", "hedge"]
        house.assert_nothing_is_left()
        await asyncio.sleep(1)
        assert len(asyncio.all_tasks()) == 1

    run(main())


def test_the_soft_limit_follows_what_an_endpoint_usually_takes() -> None:
    async def main() -> None:
        usual = [Answer([0.8, *streamed("a")]) for _ in range(30)]
        house = House(
            {"a/m": Upstream([*usual, Answer([1_000.0])]), "b/m": Upstream([Answer(streamed("ok"))])},
            settings=HEDGED,
        )
        for _ in range(30):
            await house.ask(stream=True)
        before = house.engine.clock()
        assert (await house.ask(stream=True)).text == "ok"
        assert house.engine.clock() - before == pytest.approx(2.4, abs=0.2)

    run(main())


def test_the_first_wins_where_it_speaks_before_the_second() -> None:
    async def main() -> None:
        house = House(
            {
                "a/m": Upstream([Answer([11.0, *streamed("first")])]),
                "b/m": Upstream([Answer([5.0, *streamed("second")])]),
            },
            settings=HEDGED,
        )
        assert (await house.ask(stream=True)).text == "first"
        assert sorted(map(str, house.kinds)) == ["None", "lost"]
        assert house.served == "a/m"
        house.assert_nothing_is_left()

    run(main())


def test_a_hedge_that_fails_leaves_the_first_alone_and_both_failing_go_on() -> None:
    async def main() -> None:
        upstreams = {
            "a/m": Upstream([Answer([15.0, *streamed("slow")])]),
            "b/m": Upstream([error(500)]),
            "c/m": Upstream([Answer(streamed("third"))]),
        }
        house = House(upstreams, settings=HEDGED)
        assert (await house.ask(stream=True)).text == "slow"
        both = House(
            {**upstreams, "a/m": Upstream([Answer([15.0, TransportError("truncated", "cut")])])}, settings=HEDGED
        )
        assert (await both.ask(stream=True)).text == "third"
        assert both.kinds == ["truncated", "server_error", None]

    run(main())


def test_another_account_of_the_same_provider_is_no_hedge() -> None:
    async def main() -> None:
        accounts = (Account("a1", "a1"), Account("a2", "a2"))
        silent = Upstream([Answer([12.0, *streamed("own")])])
        endpoints = [endpoint("a/m", *accounts), endpoint("b/m")]
        house = House(
            {"a/m": silent, "b/m": Upstream([Answer(streamed("other"))])}, endpoints=endpoints, settings=HEDGED
        )
        assert (await house.ask(stream=True)).text == "other"
        assert len(silent.calls) == 1
        alone = House({"a/m": silent}, endpoints=[endpoint("a/m", *accounts)], settings=HEDGED)
        assert (await alone.ask(stream=True)).text == "own"
        assert len(silent.calls) == 2

    run(main())


def test_no_hedge_where_it_is_off_or_where_a_request_has_many_answers() -> None:
    async def main() -> None:
        for settings, many in ((EngineSettings(), 1), (HEDGED, 2)):
            silent = Upstream([Answer([12.0, *plain("slow")])])
            other = Upstream([Answer(plain("other"))])
            house = House({"a/m": silent, "b/m": other}, settings=settings)
            await house.ask(n=many)
            assert not other.calls

    run(main())


def test_hedges_have_a_budget_of_requests_with_a_floor() -> None:
    async def main() -> None:
        silent = Upstream([Answer([11.0, *streamed("slow")])])
        other = Upstream([Answer([5.0, *streamed("other")])])
        house = House({"a/m": silent, "b/m": other}, settings=HEDGED)
        for _ in range(40):
            await house.ask(stream=True)
        assert len(other.calls) == 3 + 2  # the floor, and 5 % of forty requests

    run(main())


def test_hedges_have_a_budget_of_dollars() -> None:
    async def main() -> None:
        card = Card(price=Price(input=1.0, output=1_000.0))
        silent = Upstream([Answer([11.0, *streamed("slow")])])
        other = Upstream([Answer([5.0, *streamed("other")])])
        settings = EngineSettings(hedge=HedgeSettings(at=1.0, budget=1.0, burst=0.0))
        for priced in (True, False):  # every request deposits a hedge, and nobody has spent a dollar yet
            cards = card if priced else Card()
            endpoints = [endpoint("a/m", card=cards), endpoint("b/m", card=cards)]
            house = House({"a/m": silent, "b/m": other}, endpoints=endpoints, settings=settings)
            await house.ask(stream=True)
            assert len(other.calls) == (0 if priced else 1)

    run(main())


def test_a_held_answer_that_has_begun_is_not_hedged() -> None:
    async def main() -> None:
        slow = [step for _ in range(5) for step in (chunk("x"), 4.0)]
        other = Upstream([Answer(streamed("never"))])
        settings = EngineSettings(hedge=HedgeSettings(at="soft_ttft"), stream=StreamSettings(on_break="buffer"))
        house = House({"a/m": Upstream([Answer([*slow, *streamed("y")])]), "b/m": other}, settings=settings)
        assert (await house.ask(stream=True)).text == "xxxxxy"
        assert not other.calls

    run(main())


def test_a_probe_is_covered_so_that_nobody_waits_for_a_sick_upstream() -> None:
    async def main() -> None:
        sick = Upstream([*[error(500)] * 5, Answer([1_000.0])])
        house = House({"a/m": sick, "b/m": Upstream([Answer(streamed("ok"))])})
        for _ in range(5):
            await house.ask(stream=True)
        await asyncio.sleep(20)
        before = house.engine.clock()
        assert (await house.ask(stream=True)).text == "ok"
        assert house.engine.clock() - before == pytest.approx(5.0, abs=0.1)
        assert roles(house) == ["probe", "hedge"]
        house.assert_nothing_is_left()

    run(main())


def test_what_both_spent_is_in_the_record() -> None:
    async def main() -> None:
        card = Card(price=Price(input=1.0, output=2.0))
        answers = {"a/m": Upstream([Answer([1_000.0])]), "b/m": Upstream([Answer(streamed("ok"))])}
        house = House(answers, endpoints=[endpoint("a/m", card=card), endpoint("b/m", card=card)], settings=HEDGED)
        await house.ask(stream=True)
        lost, served = house.record.steps
        assert isinstance(lost, Attempt)
        assert isinstance(served, Attempt)
        assert (lost.estimated, served.estimated) == (True, False)
        assert lost.cost
        assert served.cost
        assert house.record.cost == pytest.approx(lost.cost + served.cost)
        assert house.record.usage.output == 1

    run(main())


def test_plain_answers_do_not_say_when_a_stream_is_late() -> None:
    async def main() -> None:
        slow = [Answer([9.0, *plain("whole")]) for _ in range(20)]
        quick = [Answer([0.5, *streamed("a")]) for _ in range(20)]
        silent = Answer([1_000.0])
        house = House(
            {"a/m": Upstream([*slow, *quick, silent]), "b/m": Upstream([Answer(streamed("ok"))])}, settings=HEDGED
        )
        for stream in [False] * 20 + [True] * 20:
            await house.ask(stream=stream)
        before = house.engine.clock()
        assert (await house.ask(stream=True)).text == "ok"
        assert house.engine.clock() - before == pytest.approx(2.0, abs=0.1)

    run(main())


@pytest.mark.parametrize(
    ("settings", "after"),
    [
        (EngineSettings(hedge=HedgeSettings(at=3.0)), 3.0),
        (EngineSettings(hedge=HedgeSettings(at="soft_ttft"), timeouts=TimeoutSettings(ttft_soft=4.0)), 4.0),
    ],
    ids=["a duration", "a soft limit of its own"],
)
def test_when_a_hedge_is_made_can_be_said(settings: EngineSettings, after: float) -> None:
    async def main() -> None:
        silent = Upstream([Answer([1_000.0])])
        house = House({"a/m": silent, "b/m": Upstream([Answer(streamed("ok"))])}, settings=settings)
        before = house.engine.clock()
        assert (await house.ask(stream=True)).text == "ok"
        assert house.engine.clock() - before == pytest.approx(after, abs=0.1)

    run(main())
