"""The attempts of one request: which turn comes next, what it may take, and whether a failure is repeated."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from msgspec import Raw

from llmrouter.catalogue.limits import PER_REQUEST
from llmrouter.catalogue.prices import expected_output
from llmrouter.dialects.renaming import Renamed
from llmrouter.dialects.translating import translated
from llmrouter.errors import InvalidRequest
from llmrouter.protocols import Dialect, Remembers, Reservation
from llmrouter.routing.reasons import CLOSED
from llmrouter.settings import EngineSettings
from llmrouter.types import Ask, Call, Decision, Exhausted, Failure, Hold, Request, Skip, Step

from .attempt import Attempt, Patience
from .table import TABLE
from .turns import Turn, Turns
from .world import World

if TYPE_CHECKING:
    from .engine import Engine

CANCELLED = Failure(kind="cancelled", scope="request", message="the client left")
LEAST_TIME = 1.0
"""Seconds that must be left of a request for one more attempt to begin."""
TOKENS_PER_SECOND = 20.0
"""A plain answer comes when it is done: it gets a second for so many tokens it may have."""
MOST_OUTPUT = 4096
"""Tokens that a plain answer may have where the request does not say."""
UNSUPPORTED = frozenset({"unsupported_parameter", "unsupported_value"})
"""Refusals that are this upstream's own: another one may know the parameter."""


class Attempts:
    """Opens attempts one after the other and ends every one of them. `seconds` is what all of them may take."""

    dropped: tuple[str, ...] = ()
    refused: Exhausted | None = None  # the client's own limit, where that stood in the way
    made = 0  # calls so far; skips are none
    _turns: Turns
    _stopped = _resorted = _excused = False

    def __init__(
        self, engine: Engine, request: Request, world: World, settings: EngineSettings, seconds: float
    ) -> None:
        self.engine, self.request, self.world = engine, request, world
        self._time = asyncio.get_running_loop().time
        self.settings, self.deadline = settings, self._time() + seconds
        self.steps: list[Attempt | Skip] = []
        self._held: list[tuple[Turn, Hold]] = []
        self._repeated: set[tuple[str, str]] = set()

    def plan(self, decision: Decision) -> None:
        # Nothing here may lead back to this object: only the garbage collector would find it then.
        accounts = partial(self.engine.accounts, request=self.request, world=self.world)
        self._turns = Turns(decision.plan, self.world.endpoint, accounts, self.engine.health.hold)

    async def open(self) -> Attempt | None:
        """The next attempt whose answer begins; None when no turn is left."""
        while taken := await self._next():
            attempt = self._start(*taken)
            failure = await self._send(attempt)
            self.engine.sight(attempt, self.world)
            if failure is None:
                self.dropped += getattr(attempt.reply, "dropped", ())
                return attempt
            await self.failed(attempt, failure)
        return None

    async def failed(self, attempt: Attempt, failure: Failure, *, last: bool = False) -> None:
        """End the attempt, bar what its failure charges, and grant the repeat that the table allows."""
        attempt.finish(failure)
        turn, rule = attempt.turn, TABLE[failure.kind]
        self._turns.bar(turn, failure)
        if rule.then == "stop" and not self._excuse(failure):
            self._stopped = True
        elif rule.then == "larger_window":
            self._turns.need_larger(turn.candidate)
        if last or not self._may_go_on():
            return
        wait = self._repeat_after(turn, failure)
        if wait is None:
            self.engine.budget.withdraw(0.5)
            return
        self._turns.put_back(turn)
        await asyncio.sleep(wait)

    def close(self) -> None:
        """End whatever is still open; nothing in it waits."""
        for step in self.steps:
            if isinstance(step, Attempt):
                step.finish(CANCELLED)

    def lines(self) -> tuple[Step, ...]:
        """What was done so far, as it is recorded."""
        lines = [step.line if isinstance(step, Attempt) else step for step in self.steps]
        return tuple([line for line in lines if line is not None])

    def left(self) -> float:
        """Seconds until the request's deadline."""
        return self.deadline - self._time()

    # ---- which turn -----------------------------------------------------------------------------

    async def _next(self) -> tuple[Turn, Reservation] | None:
        """The next turn that health and quota admit; each that they do not is a recorded skip."""
        if not self._may_go_on():
            return None
        while turn := self._turns.take():
            if hold := self.engine.health.hold(turn.endpoint, turn.account):
                self._skip(turn, hold)
                continue
            taken = await self.engine.quota.reserve(self._asks(turn))
            if not isinstance(taken, Exhausted):
                return turn, taken
            if taken.bucket.scope.startswith("client:"):
                self.refused = taken
            self._skip(turn, Hold(taken.retry_at, "limit", taken.bucket.scope))
        return await self._last_resort()

    def _may_go_on(self) -> bool:
        if not self.made:
            return True
        most = self.settings.attempts if self.settings.fallback else 1
        return not self._stopped and self.made < most and self.left() >= LEAST_TIME

    async def _last_resort(self) -> tuple[Turn, Reservation] | None:
        """All that is left is held: wait for the first to end if that is soon, else try the least held once."""
        if not self._held or self._resorted:
            return None
        self._resorted = True
        turn, hold = min(self._held, key=lambda held: held[1].until)
        wait = hold.until - self.engine.clock()
        if wait > min(self.settings.wait_max, self.left()):
            if hold.reason in CLOSED:
                return None
            wait = 0.0
        await asyncio.sleep(max(0.0, wait))
        taken = await self.engine.quota.reserve(self._asks(turn))
        return None if isinstance(taken, Exhausted) else (turn, taken)

    def _skip(self, turn: Turn, hold: Hold) -> None:
        self._held.append((turn, hold))
        self.steps.append(
            Skip(endpoint=turn.endpoint.id, account=turn.account.id, reason=hold.reason, until=hold.until)
        )

    # ---- calling it -----------------------------------------------------------------------------

    def _start(self, turn: Turn, reservation: Reservation) -> Attempt:
        """No await between a reservation and its place in the list: a cancel finds it there."""
        wire, endpoint = turn.candidate.wire, turn.endpoint
        attempt = Attempt(
            turn=turn,
            provider=self.world.providers[endpoint.provider],
            reader=self.world.dialects[wire.dialect].reader(self.request.facts.op, wire.stream),
            reservation=reservation,
            charge=self.engine.health.begin(endpoint, turn.account),
            patience=self._patience(turn),
            clock=self.engine.clock,
            started=self.engine.clock(),
        )
        self.steps.append(attempt)
        self.made += 1
        return attempt

    async def _send(self, attempt: Attempt) -> Failure | None:
        try:
            call = await self._call(attempt)
        except InvalidRequest as error:  # who speaks the client's own dialect may still take it
            return Failure(
                kind="invalid_request",
                scope="request",
                status=400,
                message=str(error),
                code="unsupported_value",
                param=error.param,
            )
        except Exception as error:  # a dialect's mistake: another one's endpoint may still serve
            self.engine.log.exception("%s: cannot be said to %s", self.request.facts.id, attempt.turn.endpoint.id)
            return Failure(kind="internal", scope="endpoint", message=f"{type(error).__name__} in the dialect")
        return await attempt.open(call)

    async def _call(self, attempt: Attempt) -> Call:
        turn, op = attempt.turn, self.request.facts.op
        target = self.world.dialects[turn.candidate.wire.dialect]
        fields = self._fields(target, attempt)
        if target.name in turn.endpoint.card.keeps and isinstance(target, Remembers):
            resolved = target.resolve(fields, await self._found(target.names(fields)))
            self.dropped += tuple([name for name in fields if name not in resolved])
            fields = resolved
        native = turn.candidate.wire.dialect == self.request.facts.wire.dialect
        return Call(
            endpoint=turn.endpoint,
            account=turn.account,
            op=op,
            wire=turn.candidate.wire,
            fields=target.aim(fields, turn.endpoint.model, turn.candidate.wire.stream),
            headers=self.request.headers if native else {},
            timeout=attempt.patience.headers,
        )

    def _fields(self, target: Dialect, attempt: Attempt) -> dict[str, Raw]:
        """The client's own fields in its own dialect; decoded and encoded for another. Then one way for both."""
        own, op = self.world.dialects[self.request.facts.wire.dialect], self.request.facts.op
        if target is own:
            self.dropped = ()
            return self.request.fields
        encoded = translated(own, target, op, self.request.fields)
        self.dropped = encoded.dropped
        if encoded.renamed:
            attempt.reader = Renamed(attempt.reader, encoded.renamed)
        return encoded.fields

    async def _found(self, names: Sequence[str]) -> Mapping[str, bytes]:
        return await self.engine.memory.find(self.request.facts.client, names)

    def _patience(self, turn: Turn) -> Patience:
        times, facts = self.settings.timeouts, self.request.facts
        own = self.world.settings.providers[turn.endpoint.provider].timeout
        waits, slow = own or times.headers, 0.0
        if own is None and facts.op == "chat" and not turn.candidate.wire.stream:
            slow = min(facts.max_output or MOST_OUTPUT, MOST_OUTPUT) / TOKENS_PER_SECOND
        return Patience(
            headers=max(0.001, min(waits + slow, self.left())),
            ttft=max(waits, times.ttft_hard) + slow,
            idle=times.idle,
            deadline=self.deadline,
            max_answer=self.settings.max_answer,
        )

    def _asks(self, turn: Turn) -> list[Ask]:
        """One call of the account, and the tokens and dollars of the client."""
        limits, facts = self.world.limits, self.request.facts
        own, client = limits.turn(turn.endpoint, turn.account), limits.client(facts.client)
        if not own and not client:
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
        asks = [Ask(bucket, amounts[bucket.unit]) for bucket in own]
        return asks + [Ask(bucket, amounts[bucket.unit]) for bucket in client if bucket.unit not in PER_REQUEST]

    # ---- once more ------------------------------------------------------------------------------

    def _repeat_after(self, turn: Turn, failure: Failure) -> float | None:
        """Seconds to wait before the same turn is called again; None if the next one comes first."""
        rule, key = TABLE[failure.kind], (turn.endpoint.id, turn.account.id)
        if key in self._repeated or self._turns.peer(turn.candidate.tier):
            return None
        wait = self._hinted_wait(failure) if failure.kind == "rate_limited" else None
        if wait is None and rule.repeats and rule.backoff:
            wait = self.engine.random.uniform(*rule.backoff)
        if wait is None or not self.engine.budget.withdraw(1.0):
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

    def _excuse(self, failure: Failure) -> bool:
        """The first refusal of a parameter is this upstream's own; a second one is the client's mistake."""
        excused, self._excused = self._excused, True
        return failure.code in UNSUPPORTED and not excused
