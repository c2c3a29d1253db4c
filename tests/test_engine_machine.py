"""Any history of requests, upstreams that fail, clients that leave and time; and each promise proven to bite."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from llmrouter.engine.attempt import Attempt
from llmrouter.engine.attempts import Attempts
from llmrouter.engine.calls import Calls
from llmrouter.engine.exchange import Exchange
from llmrouter.engine.flights import Flights
from llmrouter.engine.keep_alive import KeepAlive
from llmrouter.engine.queue import Place
from llmrouter.engine.quota import NOTHING
from llmrouter.engine.ticket import Ticket
from llmrouter.types import Failure
from tests.engine_machine import Machine
from tests.machines import prove


def test_everything_is_ended_once_and_accounted() -> None:
    prove(Machine, 60)


# ---- faults that it finds


def losers_that_keep_their_quota(patch: pytest.MonkeyPatch) -> None:
    finish = Attempt.finish

    def forgetful(self: Attempt, failure: Failure | None) -> None:
        if failure and failure.kind == "cancelled":
            self.reservation = NOTHING
        finish(self, failure)

    patch.setattr(Attempt, "finish", forgetful)


def reservations_that_are_closed_twice(patch: pytest.MonkeyPatch) -> None:
    finish = Attempt.finish

    def twice(self: Attempt, failure: Failure | None) -> None:
        finish(self, failure)
        if failure and failure.kind == "truncated":
            self.reservation.close({})

    patch.setattr(Attempt, "finish", twice)


def turns_that_never_end(patch: pytest.MonkeyPatch) -> None:
    end = Ticket.end

    def some(self: Ticket, failure: Failure | None, *args: Any, **more: Any) -> None:
        if failure is None or failure.kind != "cancelled":
            end(self, failure, *args, **more)

    patch.setattr(Ticket, "end", some)


def requests_that_are_recorded_twice(patch: pytest.MonkeyPatch) -> None:
    close = Exchange.close

    def twice(self: Exchange) -> None:
        close(self)
        if self.outcome == "cancelled":
            self.engine.record(self._record(), self.world)

    patch.setattr(Exchange, "close", twice)


def attempts_that_are_not_recorded(patch: pytest.MonkeyPatch) -> None:
    lines = Attempts.lines
    patch.setattr(Attempts, "lines", lambda self: lines(self)[-1:])


def answers_that_end_anywhere(patch: pytest.MonkeyPatch) -> None:
    pour = Attempt.pour

    async def some(self: Attempt, into: Any) -> None:
        await pour(self, into)

    patch.setattr(Attempt, "pour", some)


def flights_that_stay(patch: pytest.MonkeyPatch) -> None:
    end = Flights.end

    def some(self: Flights, key: str, failure: Failure | None) -> None:
        if failure:
            self._flights[f"{key}, ended"] = self._flights[key]
        end(self, key, failure)

    patch.setattr(Flights, "end", some)


def places_that_stay(patch: pytest.MonkeyPatch) -> None:
    leave = Place._leave
    patch.setattr(Place, "_leave", lambda self: leave(self) if self.retry_at < self.until else None)


def comments_that_go_on(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(KeepAlive, "end", lambda self: None)


def tasks_that_stay(patch: pytest.MonkeyPatch) -> None:
    send, kept = Calls.send, list[asyncio.Task[bool]]()

    async def beside(self: Calls, attempt: Attempt) -> Failure | None:
        if attempt.role == "hedge":
            kept.append(asyncio.create_task(asyncio.Event().wait()))
        return await send(self, attempt)

    patch.setattr(Calls, "send", beside)


FAULTS: list[tuple[Callable[[pytest.MonkeyPatch], None], str]] = [
    (losers_that_keep_their_quota, "reservation is left open"),
    (reservations_that_are_closed_twice, "closed twice"),
    (turns_that_never_end, "load is another"),
    (requests_that_are_recorded_twice, "one record for each"),
    (attempts_that_are_not_recorded, "not recorded"),
    (answers_that_end_anywhere, "complete answer"),
    (flights_that_stay, "a flight is left"),
    (places_that_stay, "a place is left"),
    (comments_that_go_on, "written after"),
    (tasks_that_stay, "a task is left"),
]


@pytest.mark.parametrize(("plant", "found"), FAULTS, ids=[plant.__name__ for plant, _ in FAULTS])
def test_a_fault_in_the_engine_is_found(
    plant: Callable[[pytest.MonkeyPatch], None], found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch)
    monkeypatch.setattr(Machine, "profiles", ("resilient",))  # it does most
    with pytest.raises(AssertionError, match=found):
        prove(Machine, 200, quick=True)
