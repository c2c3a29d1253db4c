"""Any history of calls, failures and time: what must hold all along, and that a fault in it is found."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from attrs import define, evolve, field
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from llmrouter.engine.breaker import Breaker
from llmrouter.engine.circuits import Circuits
from llmrouter.engine.health import Health
from llmrouter.engine.probe_lock import NoLock
from llmrouter.engine.table import TABLE
from llmrouter.engine.ticket import Ticket
from llmrouter.settings import BreakerSettings
from llmrouter.types import Account, Endpoint, Failure, Kind, Scope
from tests.machines import prove

ONE, TWO = Account("1", "g"), Account("2", "g2")
ENDPOINTS = [
    Endpoint(provider=provider, model=model, dialects=("openai.chat",), accounts=(ONE, TWO))
    for provider, model in [("a", "m"), ("a", "n"), ("b", "m")]
]
OUTCOMES: list[tuple[Kind, Scope] | None] = [
    None,
    None,
    ("server_error", "endpoint"),
    ("connect", "provider"),
    ("timeout_ttft", "endpoint"),
    ("overloaded", "endpoint"),
    ("malformed_chunk", "endpoint"),
    ("rate_limited", "account_model"),
    ("cancelled", "request"),
    ("invalid_request", "request"),
    ("lost", "request"),
]
CAP = BreakerSettings().max_open * 1.2
"""Seconds: no circuit is open for longer, and no class of these outcomes holds for longer."""
WORKERS = st.integers(0, 1)
PLACES = st.sampled_from(ENDPOINTS)
ACCOUNTS = st.sampled_from([ONE, TWO])


@define
class SharedLock:
    """The lock of one worker, as the kernel would keep it for both."""

    worker: int
    owners: dict[str, int]

    def take(self, scope: str) -> bool:
        return self.owners.setdefault(scope, self.worker) == self.worker

    def give(self, scope: str) -> None:
        assert self.owners.pop(scope, self.worker) == self.worker


@define(eq=False)
class Share:
    """What a circuit that has just closed may let through: counted beside it, by the curve that is promised."""

    closed_at: float
    allowed: float = 0.0
    admitted: int = 0

    def ask(self, now: float) -> None:
        self.allowed += 0.1 + 0.9 * ((now - self.closed_at) / BreakerSettings().ramp) ** 2


@define(eq=False)
class Worker:
    health: Health
    tickets: list[Ticket] = field(factory=list)
    through: dict[str, list[Ticket]] = field(factory=dict)  # claims that passed a circuit while it was half open
    shares: dict[str, Share] = field(factory=dict)

    def circuits(self, endpoint: Endpoint) -> list[Breaker]:
        names = (f"provider:{endpoint.provider}", f"endpoint:{endpoint.id}")
        return [one for name in names if (one := self.health._circuits.get(name))]


class HealthMachine(RuleBasedStateMachine):
    """Two workers of one machine, told of the same upstreams, each by its own calls."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1_000_000.0
        owners: dict[str, int] = {}
        self.workers = [
            Worker(Health(BreakerSettings(), lambda: self.now, random.Random(number), self.lock(number, owners)))
            for number in range(2)
        ]

    def lock(self, number: int, owners: dict[str, int]) -> Any:
        return SharedLock(number, owners)

    # ---- what happens ---------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([0.01, 0.5, 1.5, 5.0, 16.0, 16.0, 40.0, 700.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(worker=WORKERS, endpoint=PLACES, account=ACCOUNTS)
    def claim(self, worker: int, endpoint: Endpoint, account: Account) -> None:
        self.claimed(self.workers[worker], endpoint, account)

    @rule(worker=WORKERS, endpoint=PLACES, times=st.integers(1, 40))
    def serve(self, worker: int, endpoint: Endpoint, times: int) -> None:
        for _ in range(times):
            if ticket := self.claimed(self.workers[worker], endpoint, ONE):
                self.end(self.workers[worker], ticket, None)

    @rule(worker=WORKERS, endpoint=PLACES)
    def go_down(self, worker: int, endpoint: Endpoint) -> None:
        one = self.workers[worker]
        for _ in range(5):
            self.end(one, self.forced(one, endpoint, ONE), ("server_error", "endpoint"))

    @rule(worker=WORKERS, endpoint=PLACES, times=st.integers(1, 15))
    def stay_down(self, worker: int, endpoint: Endpoint, times: int) -> None:
        """Every probe of a long outage fails."""
        for _ in range(times):
            self.now += 400.0
            if ticket := self.claimed(self.workers[worker], endpoint, ONE):
                self.end(self.workers[worker], ticket, ("connect", "endpoint"))

    @rule(worker=WORKERS, endpoint=PLACES, account=ACCOUNTS)
    def force(self, worker: int, endpoint: Endpoint, account: Account) -> None:
        self.forced(self.workers[worker], endpoint, account)

    @rule(worker=WORKERS, number=st.integers(0, 99), outcome=st.sampled_from(OUTCOMES))
    def end_one(self, worker: int, number: int, outcome: tuple[Kind, Scope] | None) -> None:
        one = self.workers[worker]
        if one.tickets:
            self.end(one, one.tickets[number % len(one.tickets)], outcome)

    @precondition(lambda self: any(worker.tickets for worker in self.workers))
    @rule()
    def end_all(self) -> None:
        for worker in self.workers:
            for ticket in [*worker.tickets]:
                self.end(worker, ticket, ("cancelled", "request"))

    # ---- what must hold -------------------------------------------------------------------------

    @invariant()
    def never_more_than_one_probe_per_scope(self) -> None:
        for scope in {scope for worker in self.workers for scope in worker.through}:
            under_way = [ticket for worker in self.workers for ticket in worker.through.get(scope, ())]
            assert len(under_way) <= 1, f"{len(under_way)} calls through the half-open {scope}"

    @invariant()
    def never_held_for_longer_than_its_cap(self) -> None:
        for worker in self.workers:
            for line in worker.health.snapshot():
                assert (line["until"] or 0.0) - self.now <= CAP, f"{line['scope']} is held for too long"

    @precondition(lambda self: not any(worker.tickets for worker in self.workers))
    @rule()
    def everything_is_eligible_after_its_cap(self) -> None:
        self.now += CAP
        for worker in self.workers:
            for endpoint in ENDPOINTS:
                ticket = self.claimed(worker, endpoint, ONE)
                assert ticket, f"{endpoint.id} is held for ever"
                self.end(worker, ticket, ("cancelled", "request"))

    @invariant()
    def the_ramp_never_admits_more_than_its_share(self) -> None:
        for worker in self.workers:
            for scope, share in worker.shares.items():
                assert share.admitted <= share.allowed + 1e-6, f"{scope}: {share}"

    # ---- doing it -------------------------------------------------------------------------------

    def claimed(self, worker: Worker, endpoint: Endpoint, account: Account) -> Ticket | None:
        states = [(one, one.state(self.now)) for one in worker.circuits(endpoint)]
        asked = worker.health.hold(endpoint, account) is None
        ramping = [self.share(worker, one) for one, state in states if state == "ramp" and asked]
        for share in ramping:
            share.ask(self.now)
        ticket = worker.health.claim(endpoint, account, worker.health.clock())
        if not isinstance(ticket, Ticket):
            return None
        for share in ramping:
            share.admitted += 1
        half_open = [one for one, state in states if state == "half_open"]
        assert ticket.probing or not half_open, "a half-open circuit was passed beside its probe"
        for one in half_open:
            worker.through.setdefault(one.scope, []).append(ticket)
        worker.tickets.append(ticket)
        return ticket

    def forced(self, worker: Worker, endpoint: Endpoint, account: Account) -> Ticket:
        ticket = worker.health.begin(endpoint, account)
        for one in ticket.probes:
            worker.through.setdefault(one.scope, []).append(ticket)
        worker.tickets.append(ticket)
        return ticket

    def end(self, worker: Worker, ticket: Ticket, outcome: tuple[Kind, Scope] | None) -> None:
        ticket.end(Failure(kind=outcome[0], scope=outcome[1]) if outcome else None, 0.1)
        worker.tickets.remove(ticket)
        for through in worker.through.values():
            if ticket in through:
                through.remove(ticket)

    def share(self, worker: Worker, circuit: Breaker) -> Share:
        assert circuit.closed_at is not None
        share = worker.shares.get(circuit.scope)
        if share is None or share.closed_at != circuit.closed_at:
            share = worker.shares[circuit.scope] = Share(circuit.closed_at)
        return share


def test_health_keeps_its_promises() -> None:
    prove(HealthMachine)


# ---- faults that it finds


class Alone(HealthMachine):
    """Its workers know nothing of each other."""

    def lock(self, number: int, owners: dict[str, int]) -> Any:
        return NoLock()


def two_workers_at_once(patch: pytest.MonkeyPatch) -> type[HealthMachine]:
    return Alone


def two_probes_at_once(patch: pytest.MonkeyPatch) -> type[HealthMachine]:
    patch.setattr(Breaker, "probing", property(lambda self: False, lambda self, value: None), raising=False)
    return HealthMachine


def a_call_beside_the_probe(patch: pytest.MonkeyPatch) -> type[HealthMachine]:
    held_until = Breaker.held_until
    patch.setattr(Breaker, "held_until", lambda self, now: None if self.probing else held_until(self, now))
    return HealthMachine


def a_probe_that_is_not_given_back(patch: pytest.MonkeyPatch) -> type[HealthMachine]:
    patch.setattr(Circuits, "give", lambda self, probes: None)
    return HealthMachine


def openings_without_an_end(patch: pytest.MonkeyPatch) -> type[HealthMachine]:
    open_ = Breaker._open

    def opened(self: Breaker, now: float) -> None:
        open_(self, now)
        if self.openings > 8:
            self.open_until = now + self.settings.open_for * 2.0 ** (self.openings - 8)

    patch.setattr(Breaker, "_open", opened)
    return HealthMachine


def cool_downs_without_an_end(patch: pytest.MonkeyPatch) -> type[HealthMachine]:
    patch.setitem(TABLE, "rate_limited", evolve(TABLE["rate_limited"], first=400.0, most=1e9))
    return HealthMachine


def a_ramp_that_costs_nothing(patch: pytest.MonkeyPatch) -> type[HealthMachine]:
    patch.setattr(Breaker, "admit", lambda self, now: None)
    return HealthMachine


def a_ramp_that_lets_everything_through(patch: pytest.MonkeyPatch) -> type[HealthMachine]:
    patch.setattr(Breaker, "asked", lambda self, now: True)
    return HealthMachine


FAULTS: list[tuple[Callable[[pytest.MonkeyPatch], type[HealthMachine]], str]] = [
    (two_workers_at_once, "calls through the half-open"),
    (two_probes_at_once, "calls through the half-open"),
    (a_call_beside_the_probe, "beside its probe"),
    (a_probe_that_is_not_given_back, "is held for ever"),
    (openings_without_an_end, "is held for"),
    (cool_downs_without_an_end, "is held for"),
    (a_ramp_that_costs_nothing, "admitted"),
    (a_ramp_that_lets_everything_through, "admitted"),
]


@pytest.mark.parametrize(("plant", "found"), FAULTS, ids=[plant.__name__ for plant, _ in FAULTS])
def test_a_fault_in_health_is_found(
    plant: Callable[[pytest.MonkeyPatch], type[HealthMachine]], found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(AssertionError, match=found):
        prove(plant(monkeypatch), 300, quick=True)


HealthMachine.TestCase = None  # type: ignore[assignment]
Alone.TestCase = None  # type: ignore[assignment]
