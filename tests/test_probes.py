"""What accounts have left, asked in the background: when, and what comes of the answer."""

from __future__ import annotations

import asyncio
import itertools
import logging
import random
from collections.abc import Callable, Sequence
from typing import Any, cast

import pytest
from attrs import define, field

from llmrouter.engine import World
from llmrouter.engine.health import Health
from llmrouter.engine.probes import LEAST, Probes
from llmrouter.engine.quota import Quota
from llmrouter.errors import LLMRouterError
from llmrouter.settings import ProviderSettings, Settings
from llmrouter.testing import run
from llmrouter.testing.context import START, loop_clock
from llmrouter.types import (
    ANY_MODEL,
    Account,
    Allowance,
    Attempt,
    Endpoint,
    Facts,
    Failure,
    Kind,
    RequestRecord,
    Sighting,
    Usage,
    Wire,
)

ONE, TWO = Account("one", "g1"), Account("two", "g2")
MODELS = ("large", "small:free", ANY_MODEL)
ENDPOINTS = {
    one.id: one
    for one in [
        *(Endpoint(provider="p", model=model, dialects=("openai.chat",), accounts=(ONE, TWO)) for model in MODELS),
        Endpoint(provider="q", model="other", dialects=("openai.chat",), accounts=(Account("q", "gq"),)),
    ]
}
FOUND = Endpoint(provider="p", model="found:free", dialects=("openai.chat",), accounts=(ONE, TWO))
LARGE, FREE = ENDPOINTS["p/large"], ENDPOINTS["p/small:free"]


@define(eq=False)
class Reporter:
    """A provider that says what it was told to say, and when it was asked."""

    says: Callable[[], Allowance] = Allowance
    asked: list[tuple[float, str]] = field(factory=list)
    told: list[RequestRecord] = field(factory=list)

    async def quota(self, account: str) -> Allowance:
        self.asked.append((asyncio.get_running_loop().time() - START, account))
        return self.says()

    def observe(self, record: RequestRecord) -> None:
        self.told.append(record)


class Seeing(Quota):
    """Notes what it is shown, and counts nothing."""

    def __init__(self, sighted: list[Sighting]) -> None:
        self.sighted = sighted

    def sight(self, sightings: Sequence[Sighting]) -> None:
        self.sighted += sightings


@define
class Listed:
    """What is only listed, and in no configuration."""

    discovered: Any = field(factory=lambda: {FOUND.id: FOUND})


@define
class Standing:
    """What probes look at in a world."""

    settings: Settings
    endpoints: Any
    providers: Any
    names: Any


@define(eq=False)
class House:
    """Probes, and all that they touch; `every` is the interval of the provider p."""

    reporter: Reporter = field(factory=Reporter)
    every: float | None = 300.0
    sighted: list[Sighting] = field(factory=list)
    health: Health = field(init=False)
    probes: Probes = field(init=False)

    def __attrs_post_init__(self) -> None:
        draw = random.Random(7)
        self.health = Health(None, loop_clock, draw)
        entries = {name: ProviderSettings(name=name, plugin="x", probe=self.every) for name in "pq"}
        world = Standing(Settings(providers=entries), ENDPOINTS, {"p": self.reporter, "q": object()}, Listed())
        log = logging.getLogger("llmrouter.test")
        self.probes = Probes(cast(World, world), self.health, Seeing(self.sighted), loop_clock, draw, log)

    async def live(self, seconds: float) -> None:
        task = asyncio.ensure_future(self.probes.run())
        await asyncio.sleep(seconds)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def held(self, endpoint: Endpoint = LARGE, account: Account = ONE) -> tuple[str, float] | None:
        hold = self.health.hold(endpoint, account)
        return (hold.reason, hold.until - START) if hold else None


def ended(kind: Kind | None, endpoint: str = "p/large", account: str = "one") -> RequestRecord:
    step = Attempt(
        endpoint=endpoint,
        account=account,
        started=0.0,
        first_output=None,
        ended=1.0,
        failure=kind and Failure(kind=kind, scope="account"),
        usage=Usage(),
        cost=None,
    )
    facts = Facts(wire=Wire("openai.chat", False), asked="m")
    return RequestRecord(
        facts=facts,
        decision=None,
        steps=(step,),
        outcome="refused",
        status=502,
        cache="miss",
        usage=Usage(),
        cost=None,
    )


# --- when


def test_every_account_is_asked_at_the_start_and_now_and_then() -> None:
    house = House()
    run(house.live(1000))
    for account in ("one", "two"):
        times = [at for at, who in house.reporter.asked if who == account]
        assert times[0] == 0.0
        gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
        assert len(gaps) == 3
        assert all(270 <= gap <= 330 for gap in gaps)
        assert len(set(gaps)) == 3, "not in step"


def test_who_is_not_to_be_asked_is_not() -> None:
    house = House(every=None)
    run(house.live(1000))
    assert house.reporter.asked == []


@pytest.mark.parametrize("kind", ["payment", "quota_exhausted"])
def test_after_a_refusal_that_account_is_asked_at_once(kind: Kind) -> None:
    house = House()

    async def main() -> None:
        living = asyncio.ensure_future(house.live(100))
        await asyncio.sleep(50)
        for _ in range(3):
            house.probes.record(ended(kind))
        await living

    run(main())
    assert house.reporter.asked == [(0.0, "one"), (0.0, "two"), (pytest.approx(50.0), "one")]


def test_many_refusals_are_no_reason_to_ask_all_the_time() -> None:
    house = House()

    async def main() -> None:
        living = asyncio.ensure_future(house.live(19))
        for _ in range(180):
            house.probes.record(ended("payment"))
            await asyncio.sleep(0.1)
        await living

    run(main())
    times = [at for at, who in house.reporter.asked if who == "one"]
    assert len(times) == 4
    assert all(later - earlier >= LEAST - 1e-6 for earlier, later in itertools.pairwise(times))


@pytest.mark.parametrize(
    "record",
    [ended(None), ended("rate_limited"), ended("payment", "q/other", "q"), ended("payment", account="gone")],
)
def test_nothing_else_is_a_reason_to_ask(record: RequestRecord) -> None:
    house = House()

    async def main() -> None:
        living = asyncio.ensure_future(house.live(100))
        await asyncio.sleep(50)
        house.probes.record(record)
        await living

    run(main())
    assert len(house.reporter.asked) == 2


def test_a_provider_that_learns_is_told_how_requests_ended() -> None:
    house, record = House(), ended(None)
    house.probes.record(record)
    assert house.reporter.told == [record]


# --- what comes of it


def test_an_empty_balance_holds_the_account_and_a_filled_one_ends_that() -> None:
    balance = 0.0
    house = House(Reporter(lambda: Allowance(balance=balance)))

    async def main() -> None:
        nonlocal balance
        living = asyncio.ensure_future(house.live(700))
        await asyncio.sleep(1)
        assert await house.held() == ("payment", 750.0)
        assert await house.held(FREE, TWO)
        balance = 5.0
        await asyncio.sleep(350)
        assert await house.held() is None
        await living

    run(main())


def test_a_balance_ends_the_hold_that_a_402_made() -> None:
    house = House(Reporter(lambda: Allowance(balance=5.0)))

    async def main() -> None:
        living = asyncio.ensure_future(house.live(100))
        await asyncio.sleep(20)
        house.health.begin(LARGE, ONE).end(Failure(kind="payment", scope="account"), None)
        assert await house.held() == ("payment", 620.0)
        house.probes.record(ended("payment"))
        await asyncio.sleep(1)
        assert await house.held() is None
        await living

    run(main())


def test_a_balance_ends_no_hold_of_another_reason() -> None:
    house = House(Reporter(lambda: Allowance(balance=5.0)))

    async def main() -> None:
        house.health.begin(LARGE, ONE).end(Failure(kind="auth", scope="account"), None)
        await house.live(10)
        assert (await house.held() or ("", 0))[0] == "auth"

    run(main())


def usd(remaining: float, resets_at: float | None = None) -> Sighting:
    return Sighting(scope="account", unit="usd", window="day", limit=10, remaining=remaining, resets_at=resets_at)


def test_a_limit_that_is_used_up_holds_what_it_is_of_until_it_resets() -> None:
    house = House(Reporter(lambda: Allowance(sightings=(usd(3), usd(0, START + 900), usd(5)))))

    async def main() -> None:
        await house.live(10)
        assert await house.held() == ("limit", 900.0)
        assert await house.held(ENDPOINTS["q/other"], Account("q", "gq")) is None

    run(main())
    assert {one.scope for one in house.sighted} == {"group:g1", "group:g2"}


def test_without_an_end_a_hold_lasts_until_the_next_look() -> None:
    house = House(Reporter(lambda: Allowance(sightings=(usd(0),))))

    async def main() -> None:
        await house.live(10)
        assert await house.held() == ("limit", 750.0)

    run(main())


def test_a_limit_of_models_is_of_those_that_it_names() -> None:
    free = Sighting(scope="account_model", models="*:free", unit="requests", window="day", limit=50, remaining=0)
    house = House(Reporter(lambda: Allowance(sightings=(free,))))

    async def main() -> None:
        await house.live(10)
        assert await house.held(FREE)
        assert await house.held(FOUND)
        assert await house.held(LARGE) is None

    run(main())
    models = ("small:free", "found:free")
    assert {one.scope for one in house.sighted} == {f"group:{g}/{model}" for g in ("g1", "g2") for model in models}


def test_what_is_left_again_is_used_again() -> None:
    left = 0.0
    house = House(Reporter(lambda: Allowance(sightings=(usd(left, START + 5000),))))

    async def main() -> None:
        nonlocal left
        living = asyncio.ensure_future(house.live(400))
        await asyncio.sleep(1)
        left = 2.0
        await asyncio.sleep(350)
        assert await house.held() is None
        await living

    run(main())


@pytest.mark.parametrize("error", [LLMRouterError("no"), ValueError("a plugin's mistake")])
def test_who_cannot_say_is_asked_again(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> Allowance:
        raise error

    house = House(Reporter(fail))
    with caplog.at_level(logging.INFO):
        run(house.live(400))
    assert len(house.reporter.asked) == 4
    assert any(str(error) in record.getMessage() or record.exc_info for record in caplog.records)
