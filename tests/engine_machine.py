"""Any history of requests, upstreams, clients that leave and time: every thing is ended once, and all is accounted.

The engine is real, its time is virtual, and each upstream does only what it is told to, step by step.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from msgspec.structs import replace

from llmrouter.dialects.hints import PRIORITIES
from llmrouter.engine.memory_quota import MemoryQuota
from llmrouter.settings import (
    ClientKeySettings,
    EngineSettings,
    HedgeSettings,
    LimitSettings,
    ProviderSettings,
    StreamSettings,
    TimeoutSettings,
)
from llmrouter.testing import VirtualLoop
from llmrouter.types import Attempt as Line
from llmrouter.types import Request
from tests.counting import CountingQuota
from tests.house import House, endpoint
from tests.puppets import ACTS, Guest, Puppet, Stage
from tests.sweeping import CARD

PROFILES = {
    "default": EngineSettings(),
    "resilient": EngineSettings(
        hedge=HedgeSettings(at="soft_ttft"),
        stream=StreamSettings(on_break="verify"),
        timeouts=TimeoutSettings(headers=20.0, ttft_hard=20.0, idle=15.0),
    ),
    "agents": EngineSettings(stream=StreamSettings(on_break="buffer", hold_tool_calls=True)),
}
SAME: dict[str, Any] = {"temperature": 0, "seed": 1}
CLIENTS = ("dev", "other")
UNSENT = ("lost", "cancelled")
"""What may become of an attempt before it is sent."""
STEPS = 25
"""Of the loop, after which nothing moves any more unless time passes."""


class Machine(RuleBasedStateMachine):
    profiles: Sequence[str] = ("default", "resilient", "agents")

    def __init__(self) -> None:
        super().__init__()
        self.loop = VirtualLoop()
        self.guests: list[Guest] = []

    @initialize(data=st.data(), concurrent=st.sampled_from([1, 3, 50]))
    def build(self, data: st.DataObject, concurrent: int) -> None:
        profile = PROFILES[data.draw(st.sampled_from(self.profiles), "profile")]

        async def build() -> None:
            self._build(profile, concurrent)
            self.settling = asyncio.create_task(self.quota.run())

        self.loop.run_until_complete(build())

    def _build(self, engine: EngineSettings, concurrent: int) -> None:
        self.stages = {id: Stage() for id in ("a/m", "b/m", "c/m")}
        limits = (
            LimitSettings(unit="concurrent", amount=concurrent, window=""),
            LimitSettings(unit="usd", amount=1e6, window="day"),
        )
        one = LimitSettings(unit="requests", amount=1e6, window="day")
        self.house = House(
            self.stages,
            endpoints=[endpoint(id, card=CARD) for id in self.stages],
            settings=engine,
            providers={
                name: ProviderSettings(name=name, plugin="fake", limits=limits, select="round_robin")
                for name in "abc"
            },
            keys=[ClientKeySettings(name="dev", hash="", limits=(one,))],
        )
        self.engine = self.house.engine
        self.engine.quota = self.quota = CountingQuota(MemoryQuota(self.loop.time), self.loop.time)

    def settle(self, happens: Callable[[], object] = bool, seconds: float = 0.0) -> None:
        """Let something happen in the loop, and what follows from it."""

        async def steps() -> None:
            happens()
            await asyncio.sleep(seconds)
            for _ in range(STEPS):
                await asyncio.sleep(0)

        self.loop.run_until_complete(steps())

    @property
    def puppets(self) -> list[Puppet]:
        return [puppet for stage in self.stages.values() for puppet in stage.puppets]

    @property
    def calls(self) -> list[Puppet]:
        return [puppet for puppet in self.puppets if puppet.live]

    @property
    def waiting(self) -> list[Guest]:
        return [guest for guest in self.guests if not guest.over]

    # ---- what may happen ------------------------------------------------------------------------

    @rule(
        streams=st.lists(st.booleans(), min_size=1, max_size=4),
        same=st.booleans(),
        client=st.sampled_from(CLIENTS),
        priority=st.sampled_from(PRIORITIES),
    )
    def ask(self, streams: list[bool], same: bool, client: str, priority: str) -> None:
        """Several at once; those that are the same may share an answer."""

        def comes() -> None:
            for stream in streams:
                self._ask(stream, same, client, priority)

        self.settle(comes)

    def _ask(self, stream: bool, same: bool, client: str, priority: str) -> None:
        guest = Guest(tag=f"r{len(self.guests)}", stream=stream)
        self.guests.append(guest)
        more = SAME if same else {}
        asked = self.house.request({"x-llmrouter-priority": priority}, client, stream=stream, **more)
        request = Request(replace(asked.facts, id=guest.tag), asked.fields, {"x-tag": guest.tag})

        async def serve() -> None:
            try:
                await self.engine.serve(request, self.house.world, guest)
            finally:
                guest.over = True

        guest.task = self.loop.create_task(serve())

    @precondition(lambda self: self.calls)
    @rule(data=st.data(), act=st.sampled_from(ACTS))
    def act(self, data: st.DataObject, act: Callable[[Puppet], None]) -> None:
        puppet = data.draw(st.sampled_from(self.calls), "call")
        self.settle(lambda: act(puppet))

    @precondition(lambda self: self.waiting)
    @rule(data=st.data(), act=st.sampled_from(ACTS), steps=st.integers(0, 6))
    def leave(self, data: st.DataObject, act: Callable[[Puppet], None], steps: int) -> None:
        """A client leaves, so many steps after some upstream did something."""
        guest = data.draw(st.sampled_from(self.waiting), "guest")
        puppet = data.draw(st.sampled_from(self.calls), "call") if self.calls else None

        def later(left: int) -> None:
            if left:
                self.loop.call_soon(later, left - 1)
            else:
                guest.task.cancel()

        def happens() -> None:
            if puppet:
                act(puppet)
            later(steps)

        self.settle(happens)

    @rule(seconds=st.sampled_from([0.1, 1.0, 2.5, 10.0, 31.0]))
    def wait(self, seconds: float) -> None:
        self.settle(seconds=seconds)

    # ---- what holds -----------------------------------------------------------------------------

    @invariant()
    def no_request_crashes(self) -> None:
        for guest in self.guests:
            assert not guest.late, "written after its end"
            if guest.over and not guest.task.cancelled():
                assert guest.task.exception() is None

    @invariant()
    def every_ended_request_has_one_record(self) -> None:
        tags = [record.facts.id for record in self.house.records.all]
        assert sorted(tags) == sorted(guest.tag for guest in self.guests if guest.over), "one record for each"
        assert self.engine.under_way == len(self.waiting)

    @invariant()
    def what_is_in_flight_is_what_upstreams_work_at(self) -> None:
        for id, stage in self.stages.items():
            live = sum(puppet.live for puppet in stage.puppets)
            assert self.engine.health.look(self.house.world.endpoint(id)).load == live, "the load is another"

    @invariant()
    def a_reservation_is_open_as_long_as_its_call(self) -> None:
        assert not any(len(one.closed) > 1 for one in self.quota.given), "a reservation is closed twice"
        left = [one for one in self.quota.given if not one.closed]
        own = [one for one in left if not one.asks[0].bucket.scope.startswith("client:")]
        assert len(own) == len(self.calls), "a reservation is left open, or closed too early"
        assert len(left) - len(own) <= len(self.waiting), "a client's reservation is left open"

    @invariant()
    def every_call_is_recorded(self) -> None:
        for record in self.house.records.all:
            lines = [step for step in record.steps if isinstance(step, Line)]
            unsent = [one for one in lines if one.cost == 0.0 and one.failure and one.failure.kind in UNSENT]
            calls = sum(puppet.tag == record.facts.id for puppet in self.puppets)
            assert len(lines) - len(unsent) <= calls <= len(lines), "a call that is not recorded"

    @invariant()
    def what_is_called_complete_is_complete(self) -> None:
        guests = {guest.tag: guest for guest in self.guests}
        for record in self.house.records.all:
            guest = guests[record.facts.id]
            assert not guest.wrong(record), f"{guest.wrong(record)}: {guest.body!r}"

    @invariant()
    def where_nothing_is_under_way_nothing_is_left(self) -> None:
        if self.waiting:
            return
        assert not self.calls, "an upstream still works"
        assert not len(self.engine.flights), "a flight is left"
        assert not len(self.engine.queues.of("all", self.house.settings.engine.queue)), "a place is left"
        assert asyncio.all_tasks(self.loop) == {self.settling}, "a task is left"

    def teardown(self) -> None:
        self.settle(lambda: [task.cancel() for task in asyncio.all_tasks() - {asyncio.current_task()}])
        for guest in self.guests:
            if not guest.task.cancelled():
                guest.task.exception()  # told by the invariants, if at all
        self.loop.close()


Machine.TestCase = None  # type: ignore[assignment]
