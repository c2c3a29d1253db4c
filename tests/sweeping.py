"""What a sweep needs: a loop that strikes after so many steps, a scene to play on it, and a look at the rest."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
from attrs import define, evolve, field, frozen

from llmrouter.settings import EngineSettings, LimitSettings, ProviderSettings
from llmrouter.testing import VirtualLoop
from llmrouter.types import (
    Attempt,
    Card,
    Failure,
    Price,
    RequestRecord,
)
from tests.counting import CountingQuota, SlowSocket, SlowStore
from tests.house import Answer, House, Upstream, endpoint

CARD = Card(price=Price(input=1.0, output=2.0))
SICK = Failure(kind="server_error", scope="endpoint", message="scripted", by="status")
END = b"data: [DONE]\n\n"
ALONE = EngineSettings(coalesce=False)


class SteppedLoop(VirtualLoop):
    """Virtual time in which `strike` is called before each of the steps from `begin` on that it asks for."""

    _left = 0
    _strike: Callable[[], int]

    def begin(self, steps: int, strike: Callable[[], int]) -> None:
        """Call `strike` after so many steps, and again after as many as it returns; 0 is never again."""
        self._left, self._strike = steps, strike

    def _run_once(self) -> None:
        super()._run_once()  # type: ignore[misc]  # asyncio's own name of a step
        if self._left:
            self._left -= 1
            if not self._left:
                self._left = self._strike()


@frozen(kw_only=True)
class Scene:
    """One way through the engine; those `ahead` and `behind` are on it, too, and are not cancelled."""

    answers: Mapping[str, Sequence[Answer]]
    stream: bool
    roles: Sequence[str]  # of the attempts, where nobody cancels
    text: str = "ok"
    engine: EngineSettings = ALONE
    body: Mapping[str, Any] = field(factory=dict)
    concurrent: int = 9
    ahead: int = 0
    behind: int = 0
    sick: bool = False  # the circuit of the first provider is half open


def played(scene: Scene, steps: int, twice: bool) -> bool:
    """Cancel a request after so many steps, and look at what is left. Whether it was under way until then."""

    async def main() -> bool:
        return await Play(scene).run(steps, twice)

    with asyncio.Runner(loop_factory=SteppedLoop) as runner:
        return runner.run(main())


@define(eq=False)
class Asked:
    """A request under way, and its record when it ended by itself."""

    socket: SlowSocket = field(factory=SlowSocket)
    task: asyncio.Task[None] = field(init=False)
    record: RequestRecord = field(init=False)


class Play:
    """A scene with a house of its own."""

    def __init__(self, scene: Scene) -> None:
        limits = (
            LimitSettings(unit="tokens", amount=1e6, window="day"),
            LimitSettings(unit="usd", amount=1e3, window="day"),
            LimitSettings(unit="requests", amount=100, window="day"),
            LimitSettings(unit="concurrent", amount=scene.concurrent, window=""),
        )
        names = [id.partition("/")[0] for id in scene.answers]
        self.scene, self.store, self.served = scene, SlowStore(), 0
        self.house = House(
            {id: Upstream([evolve(one, wait=one.wait or 0.0) for one in all]) for id, all in scene.answers.items()},
            endpoints=[endpoint(id, card=CARD) for id in scene.answers],
            settings=scene.engine,
            providers={name: ProviderSettings(name=name, plugin="fake", limits=limits) for name in names},
        )
        self.engine = self.house.engine
        self.engine.quota = self.quota = CountingQuota(self.store, self.engine.clock)

    async def run(self, steps: int, twice: bool) -> bool:
        if self.scene.sick:
            await self._fall_sick()
        settling = asyncio.create_task(self.quota.run())
        others = []
        for number in range(self.scene.ahead):
            others.append(self._ask(stream=number % 2 == 0))
            await asyncio.sleep(0.01)
        own = self._ask(self.scene.stream)
        struck = _cancel(own.task, steps, twice)
        others += [self._ask(stream=number % 2 == 0) for number in range(self.scene.behind)]
        _, hanging = await asyncio.wait([one.task for one in [own, *others]], timeout=60)
        assert not hanging, "a request hangs"
        self._assert_nothing_is_left()
        await asyncio.sleep(3)  # the slices expire
        assert asyncio.all_tasks() == {asyncio.current_task(), settling}, "a task is left"
        await self._assert_books_agree()
        for one in [*others, *([] if struck else [own])]:
            self._assert_whole(one)
        if not struck:
            attempts = [step for step in own.record.steps if isinstance(step, Attempt)]
            assert [one.role for one in attempts] == self.scene.roles, "it went another way"
            assert not attempts or own.record.usage in [one.usage for one in attempts if one.failure is None]
        settling.cancel()
        await self.quota.aclose()
        return bool(struck)

    def _ask(self, stream: bool) -> Asked:
        asked = Asked()

        async def ask() -> None:
            self.served += 1
            await self.house.ask(asked.socket, stream=stream, **self.scene.body)
            asked.record = self.house.record

        asked.task = asyncio.create_task(ask())
        return asked

    async def _fall_sick(self) -> None:
        endpoint = next(iter(self.house.world.endpoints.values()))
        for _ in range(5):
            self.engine.health.begin(endpoint, endpoint.accounts[0]).end(SICK, None)
        await asyncio.sleep(20)

    # ---- afterwards

    def _assert_nothing_is_left(self) -> None:
        self.house.assert_nothing_is_left()
        sent = [answer for upstream in self.house.upstreams.values() for answer in upstream.sent]
        assert all(answer.closed == 1 for answer in sent), "a reply is closed twice"
        assert len(self.house.records.all) == self.served, "one record for each request"
        assert not len(self.engine.flights), "a flight is left"
        assert not len(self.engine.queues.of("all", self.scene.engine.queue)), "a place in the queue is left"
        assert not self.engine.under_way

    async def _assert_books_agree(self) -> None:
        """What the store counts is what was spent, is what the records say."""
        attempts = [step for record in self.house.records.all for step in record.steps if isinstance(step, Attempt)]
        given = self.quota.given
        calls = sum(len(upstream.calls) for upstream in self.house.upstreams.values())
        assert all(len(one.closed) == 1 for one in given), "a reservation is left open"
        assert len(given) == len(attempts)
        assert sum(one.closed != [{}] for one in given) == calls, (
            "a call that no record has, or the other way round"
        )
        buckets = self.house.world.limits.all(self.house.world.endpoints.values())
        used = await self.store.usage(buckets)
        for bucket in buckets:
            booked = sum(one.booked(bucket) for one in given) if bucket.unit != "concurrent" else 0.0
            assert used[bucket] == pytest.approx(booked), f"the store counts other {bucket.unit} than were spent"
        dollars = sum(used[bucket] for bucket in buckets if bucket.unit == "usd")
        assert dollars == pytest.approx(sum(record.cost or 0.0 for record in self.house.records.all))

    def _assert_whole(self, asked: Asked) -> None:
        socket = asked.socket
        assert socket.text == self.scene.text, f"{socket.text!r} was told"
        assert socket.body.count(b'"finish_reason":"stop"') == 1, f"{socket.body!r} has not one finish"
        assert socket.body.startswith(b"{") or socket.body.endswith(END), f"{socket.body!r} has no end"
        assert asked.record.outcome == "complete"


def _cancel(task: asyncio.Task[None], steps: int, twice: bool) -> list[int]:
    """Cancel the task after so many steps, unless it is done; the steps at which it was."""
    struck: list[int] = []

    def strike() -> int:
        if task.done():
            return 0
        task.cancel()
        struck.append(steps)
        return 1 if twice and len(struck) == 1 else 0

    loop = asyncio.get_running_loop()
    assert isinstance(loop, SteppedLoop)
    loop.begin(steps, strike)
    return struck
