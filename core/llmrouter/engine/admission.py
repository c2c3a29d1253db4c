"""Which turn comes next: the first that health and quota admit, now or after a wait that makes sense."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Literal

import msgspec

from llmrouter.catalogue.limits import Limits
from llmrouter.catalogue.prices import expected_output
from llmrouter.protocols import Reservation
from llmrouter.routing.reasons import CLOSED
from llmrouter.settings import EngineSettings
from llmrouter.types import Ask, Exhausted, Hold, Request, Skip

from .attempt import Attempt
from .budget import RetryBudget
from .queue import PAUSE
from .ticket import Ticket
from .turns import Turn, Turns

if TYPE_CHECKING:
    from .engine import Engine

COURTESY = 0.25
"""Seconds that a new request lets others go ahead who wait for the same: enough for one to be refused again."""
OLD = 60.0
"""Seconds in which that shrinks to a third."""

Taken = tuple[Turn, Reservation, Ticket]


class Admission(msgspec.Struct, eq=False):
    """Takes turns of one request, each with its reservation and its place in flight.

    A turn that came and was not called is a skip among the `steps`, which are the request's own.
    """

    engine: Engine
    request: Request
    limits: Limits
    group: str
    settings: EngineSettings
    budget: RetryBudget
    deadline: float  # on the loop's clock
    steps: list[Attempt | Skip]
    turns: Turns
    refused: Exhausted | None = None  # the client's own limit, where that stood in the way
    queued: float = 0.0  # seconds spent waiting for a hold to end
    queue: Literal["", "full", "timeout"] = ""  # why waiting for one came to nothing
    _waiting: bool = False
    _held: list[tuple[Turn, Hold]] = []
    _skipped: list[Turn] = []
    _failed: list[tuple[Turn, float]] = []  # that may be called once more, and when at the earliest

    def again(self, turn: Turn, wait: float) -> None:
        """A turn failed in a way that passes: it may be called once more, where nothing else is left."""
        self._failed.append((turn, self.engine.clock() + wait))

    def at_once(self, avoid: str = "") -> Taken | None:
        """The next turn. None: there is none, or nobody knows before `next` has asked or waited."""
        while turn := self.turns.take(avoid):
            taken = self._admitted(turn)
            if taken is None:
                self.turns.again([turn])
                return None
            if isinstance(taken, tuple):
                return taken
            self._skip(turn, taken)
        return None

    async def next(self, avoid: str = "") -> Taken | None:
        """The next turn. None: there is none, or none of others than the provider `avoid`."""
        taken = await self._first(avoid)
        if taken or avoid:
            return taken
        first = not self._calls()
        if first and any(hold.until <= self.engine.clock() for _, hold in self._held):
            return await self._last_resort()  # refused for this moment only, and nothing else is left
        return await self._wait() or (await self._last_resort() if first else None)

    def _calls(self) -> list[Attempt]:
        return [step for step in self.steps if isinstance(step, Attempt)]

    async def _first(self, avoid: str = "") -> Taken | None:
        while True:
            if taken := self.at_once(avoid):
                return taken
            turn = self.turns.take(avoid)  # it is here only because its quota must be asked for
            if turn is None:
                return None
            answer = await self._asked(turn)
            if isinstance(answer, tuple):
                return answer
            self._skip(turn, answer)

    def _admitted(self, turn: Turn) -> Taken | Hold | None:
        """What a turn needs to be called, or what stands in its way. None: its quota must be asked for."""
        health = self.engine.health
        if hold := health.hold(turn.endpoint, turn.account):
            return hold
        if self.steps and (want := self._wants(turn)):
            return Hold(self.engine.clock(), want, "request")
        asks = self._asks(turn)
        if asks and not self._waiting and self.engine.queues.waiting(self.group):
            return Hold(self.engine.clock() + PAUSE, "limit", "queue")  # others were here before
        now = self.engine.clock()
        reservation = self.engine.quota.take(asks, now)
        return self._claimed(turn, reservation, now) if reservation else None

    async def _asked(self, turn: Turn) -> Taken | Hold:
        reservation = await self.engine.quota.reserve(self._asks(turn))
        if isinstance(reservation, Exhausted):
            if reservation.bucket.scope.startswith("client:"):
                self.refused = reservation
            return Hold(reservation.retry_at, "limit", reservation.bucket.scope)
        return self._claimed(turn, reservation, self.engine.clock())

    def _claimed(self, turn: Turn, reservation: Reservation, now: float) -> Taken | Hold:
        """No await from here on until it is in the list."""
        claimed = self.engine.health.claim(turn.endpoint, turn.account, now)
        if isinstance(claimed, Ticket):
            return turn, reservation, claimed
        reservation.close({})
        return claimed

    def _asks(self, turn: Turn) -> list[Ask]:
        """One call of the account, and the tokens and dollars of the client."""
        facts = self.request.facts
        buckets = self.limits.call(turn.endpoint, turn.account, facts.client)
        if not buckets:
            return []
        output = float(expected_output(facts) if facts.op == "chat" else 0)
        amounts = {
            "requests": 1.0,
            "concurrent": 1.0,
            "tokens": facts.input_tokens + output,
            "input_tokens": float(facts.input_tokens),
            "output_tokens": output,
            "usd": turn.candidate.cost or 0.0,
        }
        return [Ask(bucket, amounts[bucket.unit]) for bucket in buckets]

    def _wants(self, turn: Turn) -> str:
        """What one more call needs and this request has not: time, or what its client will pay for all."""
        calls, ceiling = self._calls(), self.request.facts.hints.get("budget")
        if not calls:
            return ""
        if self._left() < self.engine.health.usual(turn.endpoint, turn.candidate.wire.stream):
            return "time"
        costs = [one.candidate.cost or 0.0 for one in (turn, *(call.turn for call in calls))]
        return "budget" if ceiling is not None and sum(costs) > float(ceiling) else ""

    def _skip(self, turn: Turn, hold: Hold) -> None:
        """Recorded once, however often it is looked at again."""
        if hold.scope != "request":
            self._held.append((turn, hold))
        if turn not in self._skipped:
            self._skipped.append(turn)
            skip = Skip(endpoint=turn.endpoint.id, account=turn.account.id, reason=hold.reason, until=hold.until)
            self.steps.append(skip)

    # ---- nothing is free ------------------------------------------------------------------------

    async def _wait(self) -> Taken | None:
        """Wait for the first hold to end, and look again: `max_wait` in all."""
        self._failed = [one for one in self._failed if not self._wants(one[0])]
        while (soonest := self._soonest()) is not None:
            if any(hold.reason == "limit" for _, hold in self._held):
                return await self._stand_in_line(soonest)
            # For what is no limit nobody gets ahead by standing in line, and nobody should stand behind.
            if soonest - self.engine.clock() > self._patience():
                return None
            await self._pause(soonest)
            self._bring_back()
            if taken := await self._first():
                return taken
        return None

    async def _pause(self, until: float) -> None:
        """Sleep, and a little longer the younger the request: where many wait for the same, the oldest go first."""
        engine, before = self.engine, self.engine.clock()
        engine.pausing += 1
        try:
            await asyncio.sleep(max(until - before, PAUSE))
            if engine.pausing > 1:
                age = engine.clock() - self.request.facts.at
                await asyncio.sleep(COURTESY * math.exp(-max(0.0, age) / OLD))
        finally:
            engine.pausing -= 1
            self.queued += engine.clock() - before

    async def _stand_in_line(self, soonest: float | None) -> Taken | None:
        """Wait in the group's queue for the turn to look again, as often as that makes sense."""
        patience = self._patience()
        if patience <= 0:
            return None
        facts = self.request.facts
        queue = self.engine.queues.of(self.group, self.settings.queue)
        place = queue.join(facts.client, facts.hints.get("priority", "normal"))
        if place is None:
            self.queue = "full"
            return None
        until = self.engine.clock() + patience
        self._waiting = True
        try:
            with place:
                while soonest is not None and await place.turn(soonest, until):
                    self._bring_back()
                    if taken := await self._first():
                        return taken
                    soonest = self._soonest()
        finally:
            self._waiting = False
            self.queued += place.waited
        self.queue = "timeout" if self.engine.clock() >= until else ""
        return None

    def _patience(self) -> float:
        """Seconds that may still be spent on waiting."""
        return min(self.settings.queue.max_wait - self.queued, self._left())

    def _left(self) -> float:
        return self.deadline - asyncio.get_running_loop().time()

    def _soonest(self) -> float | None:
        """When the first of what is held, or has failed, may be called."""
        held = [(turn, hold.until) for turn, hold in self._held]
        return min((self._due(*one) for one in [*held, *self._failed]), default=None)

    def _due(self, turn: Turn, earliest: float) -> float:
        hold = self.engine.health.hold(turn.endpoint, turn.account)
        return max(hold.until, earliest) if hold else earliest

    def _bring_back(self) -> None:
        held, self._held = self._held, []
        self.turns.again([turn for turn, _ in held])
        now = self.engine.clock()
        due = [one for one in self._failed if self._due(*one) <= now]
        self._failed = [one for one in self._failed if one not in due]
        for turn, _ in due:
            if self.budget.withdraw(1.0):
                self.turns.put_back(turn)

    async def _last_resort(self) -> Taken | None:
        """All is held, and nothing was called: try what is held for the shortest time."""
        if not self._held:
            return None
        turn, hold = min(self._held, key=lambda held: held[1].until)
        if hold.reason in CLOSED:
            return None
        reserved = await self.engine.quota.reserve(self._asks(turn))
        if isinstance(reserved, Exhausted):
            return None
        return turn, reserved, self.engine.health.begin(turn.endpoint, turn.account)
