"""Any history of a queue: joins, looks, releases, cancels and time, in any order; and each rule proven to bite."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from attrs import define, field
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from llmrouter.dialects.hints import PRIORITIES
from llmrouter.engine.queue import Place, Queue
from llmrouter.settings import QueueSettings
from llmrouter.testing import VirtualLoop

DEPTH = 3
MAX_WAIT = 8.0
NEAR = 1e-4


@define(eq=False)
class Guest:
    """One that waits, and what became of it."""

    number: int
    tenant: str
    priority: str
    until: float
    retry_at: float
    place: Place
    task: asyncio.Task[None] | None = None
    looking: bool = False
    looks: int = 0
    verdict: asyncio.Future[bool] = field(init=False)  # what its look finds
    over: bool = False

    async def wait(self, machine: Machine) -> None:
        with self.place as place:
            try:
                while await place.turn(self.retry_at, self.until):
                    self.looks += 1
                    self.looking, self.verdict = True, machine.loop.create_future()
                    machine.note_look(self)
                    served = await self.verdict
                    self.looking = False
                    if served:
                        return
            finally:
                self.looking, self.over = False, True


class Machine(RuleBasedStateMachine):
    queue_type: type[Queue] = Queue

    def __init__(self) -> None:
        super().__init__()
        self.loop = VirtualLoop()
        self.queue = self.queue_type(QueueSettings(depth=DEPTH, max_wait=MAX_WAIT), self.loop.time)
        self.guests: list[Guest] = []
        self.out_of_order = ""

    def settle(self, happens: Callable[[], object] = bool, seconds: float = 0.0) -> None:
        """Let something happen in the loop, and what follows from it."""

        async def steps() -> None:
            happens()
            await asyncio.sleep(seconds)
            for _ in range(12):
                await asyncio.sleep(0)

        self.loop.run_until_complete(steps())

    @property
    def waiting(self) -> list[Guest]:
        return [guest for guest in self.guests if not guest.over]

    def note_look(self, guest: Guest) -> None:
        """Kept for the invariants: a look is an event, not a state."""
        for other in self.waiting:
            same = (other.tenant, other.priority) == (guest.tenant, guest.priority)
            if same and other.number < guest.number and not other.place._left:
                self.out_of_order = f"{guest.number} looks, and {other.number} was there before it"

    # ---- what may happen ------------------------------------------------------------------------

    @rule(
        tenant=st.sampled_from("abc"),
        priority=st.sampled_from(PRIORITIES),
        patience=st.sampled_from([0.5, 3.0, 20.0]),
        hold=st.sampled_from([0.0, 1.0, 2.5, 30.0]),
    )
    def join(self, tenant: str, priority: str, patience: float, hold: float) -> None:
        def comes() -> None:
            place = self.queue.join(tenant, priority)
            if place is None:
                assert len(self.queue) >= DEPTH, "refused, and there was room"
                return
            now = self.loop.now
            guest = Guest(len(self.guests), tenant, priority, now + min(patience, MAX_WAIT), now + hold, place)
            self.guests.append(guest)
            guest.task = self.loop.create_task(guest.wait(self))

        self.settle(comes)

    @precondition(lambda self: any(guest.looking for guest in self.guests))
    @rule(served=st.booleans(), hold=st.sampled_from([0.0, 1.0, 2.5, 30.0]))
    def find(self, served: bool, hold: float) -> None:
        guest = next(guest for guest in self.guests if guest.looking)
        guest.retry_at = self.loop.now + hold
        self.settle(lambda: guest.verdict.set_result(served))

    @rule()
    def release(self) -> None:
        self.settle(self.queue.released)

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        guest = data.draw(st.sampled_from(self.waiting))
        assert guest.task
        guest.task.cancel()
        self.settle()

    @rule(seconds=st.sampled_from([0.0, 0.4, 1.0, 2.0, 5.0]))
    def pass_time(self, seconds: float) -> None:
        self.settle(seconds=seconds)

    # ---- what must hold -------------------------------------------------------------------------

    @invariant()
    def first_in_first_out_for_a_tenant_and_class(self) -> None:
        assert not self.out_of_order, self.out_of_order

    @invariant()
    def at_most_one_looks(self) -> None:
        looking = [guest.number for guest in self.guests if guest.looking]
        assert len(looking) <= 1, f"{looking} look at once"

    @invariant()
    def nobody_waits_beyond_its_limit(self) -> None:
        for guest in self.waiting:
            late = self.loop.now - guest.until
            assert guest.looking or late <= NEAR, f"{guest.number} waits {late} s longer than it may"

    @invariant()
    def it_holds_no_more_than_its_depth(self) -> None:
        assert len(self.waiting) <= DEPTH
        assert len(self.queue) == len(self.waiting), "its size is not the number of those who wait"

    @invariant()
    def somebody_leads_whoever_waits(self) -> None:
        if self.waiting:
            assert self.queue.head in [guest.place for guest in self.waiting], "all wait, and nobody will look"

    def teardown(self) -> None:
        try:
            for guest in self.waiting:
                assert guest.task
                guest.task.cancel()
            self.settle()
            self.it_is_empty_when_everybody_left()
        finally:
            self.loop.close()

    def it_is_empty_when_everybody_left(self) -> None:
        assert len(self.queue) == 0, "empty, and it counts somebody"
        assert self.queue.head is None, "empty, and somebody is its head"
        assert not any(self.queue._lines), "empty, and somebody stands in line"


Machine.TestCase = None  # type: ignore[assignment]


def prove(queue: type[Queue], examples: int = 60) -> None:
    class History(Machine):
        queue_type = queue

    checks = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
    run_state_machine_as_test(
        History,
        settings=settings(
            max_examples=examples,
            stateful_step_count=30,
            deadline=None,
            derandomize=True,
            database=None,
            phases=(Phase.generate,),  # shrinking a planted fault only takes time
            suppress_health_check=checks,
        ),
    )


def test_every_history_keeps_the_rules() -> None:
    prove(Queue)


# ---- each rule, broken once ---------------------------------------------------------------------


class LastInFirstOut(Queue):
    def _first(self) -> Place | None:
        return next((line[-1] for lines in self._lines for line in lines.values()), None)


class ManyHeads(Queue):
    def released(self) -> None:
        for lines in self._lines:
            for line in lines.values():
                for place in line:
                    place.wake(True)


class Patient(Queue):
    """Lets everybody wait as long as the head."""

    def worth_waiting(self, place: Place) -> bool:
        place.until += 5.0
        return True


class Roomy(Queue):
    def _make_room(self, tenant: str, rank: int) -> bool:
        return True


class Forgetful(Queue):
    """Counts those who left still."""

    def leave(self, place: Place) -> None:
        super().leave(place)
        self._size += len(self) == 0


class Headless(Queue):
    """Hands the look to nobody when the head leaves."""

    def leave(self, place: Place) -> None:
        elect, self.elect = self.elect, lambda: None  # type: ignore[method-assign]
        super().leave(place)
        self.elect = elect  # type: ignore[method-assign]


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        (LastInFirstOut, "was there before it"),
        (ManyHeads, "look at once"),
        (Patient, "longer than it may"),
        (Roomy, "assert 4 <= 3"),
        (Forgetful, "not the number of those who wait|empty, and it counts somebody"),
        (Headless, "nobody will look"),
    ],
)
def test_each_rule_bites(broken: type[Queue], says: str) -> None:
    with pytest.raises(AssertionError, match=says):
        prove(broken)


def test_a_leftover_is_seen_at_the_end() -> None:
    class Sticky(Queue):
        def leave(self, place: Place) -> None:
            head = self.head
            super().leave(place)
            self.head = self.head or head

    with pytest.raises(AssertionError, match=r"somebody is its head|nobody will look"):
        prove(Sticky)
