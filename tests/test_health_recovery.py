"""What an outage of a minute costs after it is over: virtual time, every seed."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Iterator
from itertools import count

import pytest
from attrs import define, field

from llmrouter.engine import breaker
from llmrouter.engine.breaker import Breaker
from llmrouter.engine.health import Health
from llmrouter.engine.ticket import Ticket
from llmrouter.settings import BreakerSettings
from llmrouter.types import Account, Endpoint, Failure, Kind, Scope

ACCOUNT = Account("1", "g")
A = Endpoint(provider="a", model="m", dialects=("openai.chat",), accounts=(ACCOUNT,))
STARTS, ENDS, STOP = 20.0, 80.0, 100.0
ANSWER = 0.5
"""Seconds from a call to its answer."""
FAILS: dict[Kind, tuple[Scope, float]] = {
    "server_error": ("endpoint", 0.2),
    "connect": ("provider", 0.05),
    "overloaded": ("endpoint", 0.2),
    "truncated": ("endpoint", 1.0),
    "timeout_headers": ("endpoint", 30.0),
}
COVERED = 5.0
"""Seconds after which somebody else answers for a silent probe."""


@define(eq=False)
class Outage:
    """Requests at a steady rate to one endpoint that has somebody to take its place."""

    seed: int
    every: float
    kind: Kind
    now: float = 0.0
    calls: list[float] = field(factory=list)
    _events: list[tuple[float, int, Callable[[], None]]] = field(factory=list)
    _numbers: Iterator[int] = field(factory=count)

    def run(self) -> Outage:
        draw = random.Random(self.seed)
        health = Health(BreakerSettings(), lambda: self.now, draw)
        first = draw.uniform(0, self.every)
        for number in range(int((STOP - first) / self.every)):
            self._at(first + number * self.every, lambda: self._ask(health))
        while self._events:
            self.now, _, happens = heapq.heappop(self._events)
            happens()
        return self

    def rate(self, begins: float, ends: float) -> float:
        """Calls of these seconds, as a part of the requests."""
        return sum(begins <= call < ends for call in self.calls) * self.every / (ends - begins)

    def back_after(self) -> float:
        """Seconds from the recovery to the first call that was answered."""
        return next((call for call in self.calls if call >= ENDS), 1e9) - ENDS

    def _ask(self, health: Health) -> None:
        ticket = health.claim(A, ACCOUNT, health.clock())
        if isinstance(ticket, Ticket):
            self.calls.append(self.now)
            fails = STARTS <= self.now < ENDS
            self._answer(ticket, self.kind if fails else None)

    def _answer(self, ticket: Ticket, kind: Kind | None) -> None:
        if kind is None:
            return self._at(self.now + ANSWER, lambda: ticket.end(None, ANSWER))
        scope, seconds = FAILS[kind]
        if ticket.probing and seconds > COVERED:
            kind, seconds = "lost", COVERED
        return self._at(self.now + seconds, lambda: ticket.end(Failure(kind=kind, scope=scope), None))

    def _at(self, when: float, happens: Callable[[], None]) -> None:
        heapq.heappush(self._events, (when, next(self._numbers), happens))


def outages(kind: Kind, every: float, seeds: int = 200) -> list[Outage]:
    return [Outage(seed, every, kind).run() for seed in range(seeds)]


@pytest.mark.parametrize("kind", ["server_error", "connect", "overloaded", "truncated"])
def test_a_quiet_router_is_back_within_sixteen_seconds(kind: Kind) -> None:
    for outage in outages(kind, 4.0):
        assert outage.rate(STARTS - 12, STARTS) > 0.9
        assert outage.back_after() <= 16.0, outage.seed


@pytest.mark.parametrize("kind", ["server_error", "connect"])
def test_a_busy_router_is_back_within_sixteen_seconds_and_gently(kind: Kind) -> None:
    for outage in outages(kind, 0.05):
        assert outage.rate(STARTS - 10, STARTS) > 0.9
        assert outage.back_after() <= 16.0, outage.seed
        assert outage.rate(ENDS, ENDS + 10) <= 0.2, outage.seed


@pytest.mark.parametrize("kind", ["overloaded", "truncated", "timeout_headers"])
def test_so_it_is_whatever_the_upstream_did(kind: Kind) -> None:
    for outage in outages(kind, 0.05, 20):
        assert outage.back_after() <= 16.0, outage.seed
        assert outage.rate(ENDS, ENDS + 10) <= 0.2, outage.seed


def test_a_quiet_router_sends_its_two_probes_and_no_more() -> None:
    for outage in outages("connect", 4.0):
        back = ENDS + outage.back_after()
        assert sum(back <= call < back + 10 for call in outage.calls) <= 2, outage.seed


# ---- what makes it so


def doubling(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(breaker, "FLAT_OPENINGS", 1)


def longer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Openings that jitter makes longer, too."""
    open_ = Breaker._open

    def opened(self: Breaker, now: float) -> None:
        open_(self, now)
        assert self.open_until
        self.open_until = now + (self.open_until - now - 12) * 2 + 12

    monkeypatch.setattr(Breaker, "_open", opened)


def straight(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Breaker.asked

    def asked_in_a_line(self: Breaker, now: float) -> bool:
        if self.state(now) == "ramp" and self.closed_at is not None:
            part = (now - self.closed_at) / self.settings.ramp
            self._credit += 0.9 * (part - part * part)
        return asked(self, now)

    monkeypatch.setattr(Breaker, "asked", asked_in_a_line)


@pytest.mark.parametrize("plant", [doubling, longer])
def test_other_openings_would_be_late(
    plant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch)
    assert max(outage.back_after() for outage in outages("connect", 4.0)) > 16.0


def test_a_straight_ramp_would_be_a_rush(monkeypatch: pytest.MonkeyPatch) -> None:
    straight(monkeypatch)
    assert max(outage.rate(ENDS, ENDS + 10) for outage in outages("server_error", 0.05, 40)) > 0.2
