"""The attempts of one request: which turn comes next, and whether a failure is repeated."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from llmrouter.settings import EngineSettings
from llmrouter.types import Decision, Failure, Request, Role, Skip, Step

from .admission import Admission, Taken
from .attempt import Attempt
from .calls import Calls
from .racing import race
from .table import TABLE
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
BACKOFF, LONGEST_BACKOFF = 0.5, 8.0
"""Seconds before a turn that failed is called again because nothing else is left: doubled with every call."""
SHARE = 3
"""One turn gets a third of the calls that a request may make, and two at least."""


class Attempts:
    """Opens attempts one after the other, or two at once, and ends every one of them.

    All of them end by `deadline`, on the loop's clock.
    """

    def __init__(
        self,
        engine: Engine,
        request: Request,
        world: World,
        group: str,
        settings: EngineSettings,
        deadline: float,
        decision: Decision,
    ) -> None:
        self.engine, self.request, self.settings, self.deadline = engine, request, settings, deadline
        self.steps: list[Attempt | Skip] = []
        self.dropped: tuple[str, ...] = ()
        self.made = 0  # calls so far; skips are none
        self._stopped = self._excused = self._hedged = False
        self._crowded = ("", 0)  # a provider, and how often in a row it was overloaded
        self._time = asyncio.get_running_loop().time
        self.budget = engine.budgets.of(group, settings)
        self.budget.retries.deposit()
        if settings.hedge.at != "off":
            self.budget.hedges.deposit()
        self.calls = Calls(engine, request, world, settings, deadline)
        # Nothing here may lead back to this object: only the garbage collector would find it then.
        accounts = partial(engine.accounts, request=request, world=world)
        turns = Turns(decision.plan, world.endpoint, accounts, engine.health.hold)
        retries, steps = self.budget.retries, self.steps
        self.admission = Admission(engine, request, world.limits, group, settings, retries, deadline, steps, turns)

    @property
    def queued(self) -> float:
        """Seconds spent waiting for a hold to end."""
        return self.admission.queued

    async def open(self, role: Role = "turn") -> Attempt | None:
        """The next attempt whose answer may be written; None when no turn is left."""
        while self._may_go_on() and (taken := self.admission.at_once() or await self.admission.next()):
            attempt = self._start(taken, role)
            after = self._hedge_after(attempt)
            if after is None:
                failure = await self.calls.send(attempt)
            else:
                attempt, failure = await race(attempt, after, self.calls.send, self._second, self._overtaken)
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
            self.admission.turns.put_back(turn)
        else:
            self.budget.retries.withdraw(0.5)
            wait = self._crowd(turn, failure)
            self._later(turn, failure)
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
        steps = self.steps
        return tuple([line for step in steps if (line := step.line if isinstance(step, Attempt) else step)])

    def left(self) -> float:
        """Seconds until the request's deadline."""
        return self.deadline - self._time()

    def spare(self) -> Attempt | None:
        """The first whole answer that was not good enough."""
        return next((step for step in self.steps if isinstance(step, Attempt) and step.spare), None)

    # ---- which turn -----------------------------------------------------------------------------

    def _may_go_on(self) -> bool:
        if not self.made:
            return self.deadline > self._time()
        most = self.settings.attempts if self.settings.fallback else 1
        return not self._stopped and self.made < most and self.left() >= LEAST_TIME

    # ---- calling it -----------------------------------------------------------------------------

    def _start(self, taken: Taken, role: Role) -> Attempt:
        """No await between a reservation and its place in the list: a cancel finds it there."""
        turn, reservation, ticket = taken
        if ticket.probes:
            role = "probe"
        elif self.made and self._calls(turn):
            role = "repeat"
        attempt = self.calls.make(turn, reservation, ticket, role)
        self.steps.append(attempt)
        self.made += 1
        return attempt

    def _hedge_after(self, first: Attempt) -> float | None:
        """Seconds of silence after which another is called; None: it is waited for alone.

        A probe is covered whatever the configuration says, so that nobody waits for a sick upstream.
        """
        if first.role == "probe":
            return self._soft(first) / 2
        at = self.settings.hedge.at
        if at == "off" or self._hedged or self.request.facts.op != "chat" or "n" in self.request.facts.needs:
            return None
        if at != "soft_ttft":
            return at
        return self.settings.timeouts.ttft_soft or self._soft(first)

    def _soft(self, attempt: Attempt) -> float:
        """Seconds after which the first output of its endpoint is late."""
        turn, tokens = attempt.turn, self.request.facts.input_tokens
        return self.engine.health.soft(turn.endpoint, tokens, turn.candidate.wire.stream)

    async def _second(self, first: Attempt) -> Attempt | None:
        """What is called beside the first: of another provider, and if the budget has it."""
        cost = first.turn.candidate.cost or 0.0
        if first.role != "probe" and not self.budget.hedges.withdraw(cost):
            return None
        self._hedged = True
        if not self._may_go_on():
            return None
        taken = await self.admission.next(avoid=first.turn.endpoint.provider)
        return self._start(taken, "hedge") if taken else None

    def _end(self, attempt: Attempt, failure: Failure) -> None:
        attempt.finish(failure)
        turn, rule = attempt.turn, TABLE[failure.kind]
        self.admission.turns.bar(turn, failure)
        then = failure.then or rule.then
        if failure.kind == "content_filter" and self.settings.on_content_filter == "failover":
            then = "next"
        if then == "stop" and not self._excuse(failure):
            self._stopped = True
        elif then == "larger_window":
            self.admission.turns.need_larger(turn.candidate)

    def _overtaken(self, attempt: Attempt, failure: Failure) -> None:
        """One of two failed while the other goes on."""
        self._end(attempt, failure)
        self._later(attempt.turn, failure)

    # ---- once more ------------------------------------------------------------------------------

    def _calls(self, turn: Turn) -> int:
        """How often a turn was called."""
        made = [step.turn for step in self.steps if isinstance(step, Attempt)]
        return sum(one.endpoint is turn.endpoint and one.account is turn.account for one in made)

    def _repeat_after(self, turn: Turn, failure: Failure) -> float | None:
        """Seconds to wait before the same turn is called again; None if the next one comes first."""
        rule = TABLE[failure.kind]
        if self._calls(turn) > 1 or failure.then or self.admission.turns.peer(turn.candidate.tier):
            return None
        wait = self._hinted_wait(failure) if failure.kind == "rate_limited" else None
        if wait is None and rule.repeats and rule.backoff:
            wait = self.engine.random.uniform(*rule.backoff)
        return wait if wait is not None and self.budget.retries.withdraw(1.0) else None

    def _later(self, turn: Turn, failure: Failure) -> None:
        """What failed in a way that passes may be called once more, where nothing else is left."""
        most = max(2, self.settings.attempts // SHARE)
        if TABLE[failure.kind].passes and not failure.then and self._calls(turn) < most:
            longest = min(BACKOFF * 2.0**self.made, LONGEST_BACKOFF)
            self.admission.again(turn, self.engine.random.uniform(BACKOFF, longest))

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


class NoAttempts(Attempts):
    """Those of a request that nothing was decided for: it is refused, or somebody has its answer."""

    queued = 0.0

    def __init__(self) -> None:
        self.dropped, self.made = (), 0

    def close(self) -> None:
        pass

    def lines(self) -> tuple[Step, ...]:
        return ()


NONE = NoAttempts()
