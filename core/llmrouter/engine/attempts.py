"""The attempts of one request: which turn comes next, and whether a failure is repeated."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Literal

from llmrouter.catalogue.names import Expansion
from llmrouter.protocols import Reservation
from llmrouter.routing.reasons import CLOSED
from llmrouter.settings import EngineSettings
from llmrouter.types import Decision, Exhausted, Failure, Hold, Request, Role, Skip, Step

from .attempt import Attempt
from .calls import Calls
from .queue import PAUSE
from .racing import race
from .table import TABLE
from .ticket import Ticket
from .turns import Turn, Turns
from .world import World

if TYPE_CHECKING:
    from .engine import Engine

CANCELLED = Failure(kind="cancelled", scope="request", message="the client left")
LEAST_TIME = 1.0
"""Seconds that must be left of a request for one more attempt to begin."""
UNSUPPORTED = frozenset({"unsupported_parameter", "unsupported_value"})
"""Refusals that are this upstream's own: another one may know the parameter."""
CROWDED = 2
"""So many refusals of an overloaded provider in a row, and the next call waits a little."""

Taken = tuple[Turn, Reservation, Ticket]


class Attempts:
    """Opens attempts one after the other, or two at once, and ends every one of them.

    `seconds` is what all of them may take.
    """

    dropped: tuple[str, ...] = ()
    refused: Exhausted | None = None  # the client's own limit, where that stood in the way
    made = 0  # calls so far; skips are none
    rescuing = False  # from here on answers are to go on where another broke off
    queued = 0.0  # seconds spent waiting for a limit to pass
    queue: Literal["", "full", "timeout"] = ""  # why waiting for one came to nothing
    _turns: Turns
    _stopped = _resorted = _excused = _hedged = False
    _crowded = ("", 0)  # a provider, and how often in a row it was overloaded
    _estimated = 0.0  # USD, of all calls so far

    def __init__(
        self, engine: Engine, request: Request, world: World, expansion: Expansion, seconds: float
    ) -> None:
        self.engine, self.request, self.world = engine, request, world
        self.settings: EngineSettings = expansion.engine or world.settings.engine
        self.group = expansion.group
        self._time = asyncio.get_running_loop().time
        self.deadline = self._time() + seconds
        self.budget = engine.budgets.of(self.group, self.settings)
        self.calls = Calls(engine, request, world, self.settings, self.deadline)
        self.steps: list[Attempt | Skip] = []
        self._held: list[tuple[Turn, Hold]] = []
        self._skipped: list[Turn] = []
        self._repeated: set[tuple[str, str]] = set()

    def plan(self, decision: Decision) -> None:
        # Nothing here may lead back to this object: only the garbage collector would find it then.
        accounts = partial(self.engine.accounts, request=self.request, world=self.world)
        self._turns = Turns(decision.plan, self.world.endpoint, accounts, self.engine.health.hold)
        self.budget.retries.deposit()
        if self.settings.hedge.at != "off":
            self.budget.hedges.deposit()

    async def open(self) -> Attempt | None:
        """The next attempt whose answer may be written; None when no turn is left."""
        role: Role = "rescue" if self.rescuing else "turn"
        while taken := await self._next():
            attempt, failure = await self._opened(self._start(taken, role))
            if failure is None:
                self.dropped = attempt.dropped + getattr(attempt.reply, "dropped", ())
                return attempt
            await self.failed(attempt, failure)
        return None

    async def failed(self, attempt: Attempt, failure: Failure, *, last: bool = False) -> None:
        """End the attempt, bar what its failure charges, and grant the repeat that the table allows."""
        self._end(attempt, failure)
        if last or not self._may_go_on():
            return
        turn = attempt.turn
        wait = self._repeat_after(turn, failure)
        if wait is not None:
            self._turns.put_back(turn)
        else:
            self.budget.retries.withdraw(0.5)
            wait = self._crowd(turn, failure)
        if wait:
            await asyncio.sleep(wait)

    def close(self) -> None:
        """End whatever is still open; nothing in it waits."""
        for step in self.steps:
            if isinstance(step, Attempt):
                step.finish(CANCELLED)
                if self.settings.hedge.at != "off" and step.line and step.line.cost:
                    self.budget.hedges.spent(step.line.cost)

    def lines(self) -> tuple[Step, ...]:
        """What was done so far, as it is recorded."""
        lines = [step.line if isinstance(step, Attempt) else step for step in self.steps]
        return tuple([line for line in lines if line is not None])

    def left(self) -> float:
        """Seconds until the request's deadline."""
        return self.deadline - self._time()

    def spare(self) -> Attempt | None:
        """The first whole answer that was not good enough."""
        return next((step for step in self.steps if isinstance(step, Attempt) and step.spare), None)

    # ---- which turn -----------------------------------------------------------------------------

    async def _next(self, avoid: str = "") -> Taken | None:
        """The next turn that health and quota admit; each that they do not is a recorded skip."""
        if not self._may_go_on():
            return None
        return await self._first_admitted(avoid) or (None if avoid else await self._last_resort())

    async def _first_admitted(self, avoid: str = "") -> Taken | None:
        while turn := self._turns.take(avoid):
            taken = await self._admitted(turn)
            if not isinstance(taken, Hold):
                return taken
            self._skip(turn, taken)
        return None

    async def _admitted(self, turn: Turn) -> Taken | Hold:
        """What a turn needs to be called, or what stands in its way."""
        health = self.engine.health
        if hold := health.hold(turn.endpoint, turn.account):
            return hold
        if self.made and self.left() < health.usual(turn.endpoint):
            return Hold(self.engine.clock(), "time", "request")
        asks = self.calls.asks(turn)
        if asks and not self._resorted and self.engine.queues.waiting(self.group):
            return Hold(self.engine.clock() + PAUSE, "limit", "queue")  # others were here before
        taken = await self.engine.quota.reserve(asks)
        if isinstance(taken, Exhausted):
            if taken.bucket.scope.startswith("client:"):
                self.refused = taken
            return Hold(taken.retry_at, "limit", taken.bucket.scope)
        claimed = health.claim(turn.endpoint, turn.account)  # no await from here on until it is in the list
        if isinstance(claimed, Hold):
            taken.close({})
            return claimed
        return turn, taken, claimed

    def _may_go_on(self) -> bool:
        if not self.made:
            return True
        most = self.settings.attempts if self.settings.fallback else 1
        return not self._stopped and self.made < most and self.left() >= LEAST_TIME

    async def _last_resort(self) -> Taken | None:
        """All that is left is held: wait for the first to end if that is soon, else try the least held once."""
        if not self._held or self._resorted:
            return None
        self._resorted = True
        turn, hold = min(self._held, key=lambda held: held[1].until)
        if hold.until > self.engine.clock():
            if taken := await self._wait_for_limits():
                return taken
            if not self._held:  # while it waited, its time became too short for any of them
                return None
            turn, hold = min(self._held, key=lambda held: held[1].until)
        if hold.reason in CLOSED:
            return None
        reserved = await self.engine.quota.reserve(self.calls.asks(turn))
        if isinstance(reserved, Exhausted):
            return None
        return turn, reserved, self.engine.health.begin(turn.endpoint, turn.account)

    async def _wait_for_limits(self) -> Taken | None:
        """Wait in the group's queue, and look again whenever that makes sense."""
        facts, clock = self.request.facts, self.engine.clock
        queue = self.engine.queues.of(self.group, self.settings.queue)
        place = queue.join(facts.client, facts.hints.get("priority", "normal"))
        if place is None:
            self.queue = "full"
            return None
        with place:
            while await place.turn(min(hold.until for _, hold in self._held), clock() + self.left()):
                held, self._held = self._held, []
                self._turns.again([turn for turn, _ in held])
                if (taken := await self._first_admitted()) or not self._held:
                    self.queued += place.waited
                    return taken
        self.queued += place.waited
        self.queue = "timeout" if clock() >= place.until else ""
        return None

    def _skip(self, turn: Turn, hold: Hold) -> None:
        """Recorded once, however often it is looked at again."""
        if hold.scope != "request":
            self._held.append((turn, hold))
        if turn not in self._skipped:
            self._skipped.append(turn)
            skip = Skip(endpoint=turn.endpoint.id, account=turn.account.id, reason=hold.reason, until=hold.until)
            self.steps.append(skip)

    # ---- calling it -----------------------------------------------------------------------------

    def _start(self, taken: Taken, role: Role) -> Attempt:
        """No await between a reservation and its place in the list: a cancel finds it there."""
        turn, reservation, ticket = taken
        if ticket.probing:
            role = "probe"
        elif (turn.endpoint.id, turn.account.id) in self._repeated:
            role = "repeat"
        attempt = self.calls.make(turn, reservation, ticket, role, self.left())
        self.steps.append(attempt)
        self.made += 1
        return attempt

    async def _opened(self, first: Attempt) -> tuple[Attempt, Failure | None]:
        """Send, and where that is wanted against a long silence, a second call beside it."""
        after = self._hedge_after(first)
        if after is None:
            return first, await self.calls.send(first)
        return await race(first, after, self.calls.send, self._second, self._end)

    def _hedge_after(self, first: Attempt) -> float | None:
        """Seconds of silence after which another is called; None: it is waited for alone.

        A probe is covered whatever the configuration says, so that nobody waits for a sick upstream.
        """
        turn, tokens = first.turn, self.request.facts.input_tokens
        if first.role == "probe":
            return self.engine.health.soft(turn.endpoint, tokens) / 2
        at = self.settings.hedge.at
        if at == "off" or self._hedged or self.request.facts.op != "chat" or "n" in self.request.facts.needs:
            return None
        if at != "soft_ttft":
            return at
        return self.settings.timeouts.ttft_soft or self.engine.health.soft(turn.endpoint, tokens)

    async def _second(self, first: Attempt) -> Attempt | None:
        """What is called beside the first: of another provider, and if the budget has it."""
        cost = first.turn.candidate.cost or 0.0
        if first.role != "probe" and not self.budget.hedges.withdraw(cost):
            return None
        self._hedged = True
        taken = await self._next(avoid=first.turn.endpoint.provider)
        return self._start(taken, "hedge") if taken else None

    def _end(self, attempt: Attempt, failure: Failure) -> None:
        attempt.finish(failure)
        self._turns.bar(attempt.turn, failure)
        then = failure.then or TABLE[failure.kind].then
        if failure.kind == "content_filter" and self.settings.on_content_filter == "failover":
            then = "next"
        if then == "stop" and not self._excuse(failure):
            self._stopped = True
        elif then == "larger_window":
            self._turns.need_larger(attempt.turn.candidate)

    # ---- once more ------------------------------------------------------------------------------

    def _repeat_after(self, turn: Turn, failure: Failure) -> float | None:
        """Seconds to wait before the same turn is called again; None if the next one comes first."""
        rule, key = TABLE[failure.kind], (turn.endpoint.id, turn.account.id)
        if key in self._repeated or failure.then or self._turns.peer(turn.candidate.tier):
            return None
        wait = self._hinted_wait(failure) if failure.kind == "rate_limited" else None
        if wait is None and rule.repeats and rule.backoff:
            wait = self.engine.random.uniform(*rule.backoff)
        if wait is None or not self.budget.retries.withdraw(1.0):
            return None
        self._repeated.add(key)
        return wait

    def _hinted_wait(self, failure: Failure) -> float | None:
        """The upstream's own hint, with some jitter, where it is short enough to be waited for."""
        if failure.retry_at is None:
            return None
        wait = max(0.0, failure.retry_at - self.engine.clock())
        if wait > min(self.settings.wait_max, self.left() / 5):
            return None
        return wait * self.engine.random.uniform(1.0, 1.1)

    def _crowd(self, turn: Turn, failure: Failure) -> float:
        """Seconds before the next call: none, unless one provider was overloaded again and again."""
        provider = turn.endpoint.provider if failure.kind == "overloaded" else ""
        before, times = self._crowded
        self._crowded = (provider, times + 1 if provider and provider == before else 1)
        if not provider or self._crowded[1] < CROWDED:
            return 0.0
        return self.engine.random.uniform(0.0, 0.5)

    def _excuse(self, failure: Failure) -> bool:
        """The first refusal of a parameter is this upstream's own; a second one is the client's mistake."""
        excused, self._excused = self._excused, True
        return failure.code in UNSUPPORTED and not excused
