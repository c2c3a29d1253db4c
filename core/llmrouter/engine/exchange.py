"""One request under way: plan → attempts → frames → client → record."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Literal

from llmrouter.catalogue.names import Expansion
from llmrouter.errors import InvalidRequest
from llmrouter.protocols import Client, Reservation, Writer
from llmrouter.types import Attempt as Line
from llmrouter.types import (
    Begin,
    Decision,
    Exhausted,
    Finish,
    Frame,
    Keep,
    Outcome,
    Request,
    RequestRecord,
    Result,
    Trouble,
    Usage,
    Wire,
)

from . import headers, recording, trouble
from .attempt import Attempt, Broken
from .attempts import Attempts
from .tokens import counted
from .world import World

if TYPE_CHECKING:
    from .engine import Engine

UNUSED = Usage()


class Exchange:
    """One request under way. Owns its attempts and its writer; writes the one record."""

    decision: Decision | None = None
    outcome: Outcome = "cancelled"
    cache: Literal["hit", "miss", "bypass"] = "bypass"
    status = 499
    committed = False  # something of an answer was written
    _reservation: Reservation | None = None

    def __init__(self, engine: Engine, request: Request, world: World, client: Client) -> None:
        facts = request.facts
        self.dialect = world.dialects[facts.wire.dialect]
        self.expansion: Expansion = world.expansion(facts)
        if world.counter:
            request = counted(request, self.expansion, self.dialect, world.counter)
        self.engine, self.request, self.world, self.client = engine, request, world, client
        self.facts = request.facts
        self.writer: Writer = self.dialect.writer(request)
        self.settings = self.expansion.engine or world.settings.engine
        self.seconds = min(self.settings.deadline, headers.timeout(facts.hints) or self.settings.deadline)
        self.attempts = Attempts(engine, request, world, self.settings, self.seconds)

    async def run(self) -> None:
        """Serve the request to its end. Only cancellation leaves it early; `close` comes after either."""
        if refusal := await self._admit():
            return await self._refuse(refusal)
        key = self._key()
        if key and await self._answered_by_cache(key):
            return await self._complete(None)
        self.decision = self.engine.decide(self.request, self.world, self.expansion)
        self.attempts.plan(self.decision)
        self.engine.budget.deposit()
        while attempt := await self.attempts.open():
            tape = self._recorder(attempt) if key else None
            if await self._answered_by(attempt, tape):
                if tape and (kept := tape.done()):
                    await self.engine.store(key, kept, self.world)
                return await self._complete(attempt)
            if self.committed:
                break
            self.writer = self.dialect.writer(self.request)
        return await self._fail(self.decision)

    async def _admit(self) -> Trouble | None:
        """Take what the client itself is limited to, once for the whole request."""
        asks = self.world.limits.admission(self.facts.client)
        if not asks:
            return None
        taken = await self.engine.quota.reserve(asks)
        if isinstance(taken, Exhausted):
            return trouble.exhausted(self.facts.id, taken, self.engine.clock())
        self._reservation = taken
        return None

    # ---- an answer ------------------------------------------------------------------------------

    async def _answered_by(self, attempt: Attempt, tape: recording.Recorder | None) -> bool:
        try:
            while (frames := await attempt.more()) is not None:
                if tape:
                    tape.take(frames)
                await self._forward(frames, attempt)
        except Broken as broken:
            await self.attempts.failed(attempt, broken.failure, last=self.committed)
            return False
        attempt.finish(None)
        return True

    async def _answered_by_cache(self, key: str) -> bool:
        self.cache = "miss"
        kept = None if self.facts.hints.get("cache") == "refresh" else await self.engine.recall(key)
        tape = self.engine.replays.tape(kept, self.world.dialects) if kept else None
        if tape is None or not any(p.endpoint.id == tape.endpoint for tier in self.expansion.tiers for p in tier):
            return False
        self.cache = "hit"
        await self._forward(tape.replay(self.world.dialects, headers.answer_id(self.facts.id, self.writer)), None)
        return True

    async def _forward(self, frames: Iterable[Frame], attempt: Attempt | None) -> None:
        write, wire, data = self.writer.write, self.facts.wire, b""
        keeps = attempt.turn.endpoint.card.keeps if attempt else ()
        for frame in frames:
            if keeps and frame.wire.dialect in keeps:
                for event in frame.events:
                    if type(event) is Keep:
                        await self._keep(event)
            data += write(frame, frame.wire == wire)
        if data:
            if not self.committed:
                await self._commit(attempt)
            await self.client.write(data)

    async def _commit(self, attempt: Attempt | None) -> None:
        self.committed, self.status = True, 200
        await self.client.start(200, headers.answer(self, attempt))

    async def _keep(self, keep: Keep) -> None:
        await self.engine.memory.keep(self.facts.client, keep)

    def _key(self) -> str:
        cache = self.world.settings.cache
        if cache is None or not self.facts.replayable or self.facts.hints.get("cache") == "no":
            return ""
        try:
            return self.engine.replays.key(self.dialect, self.request, shared=cache.shared)
        except InvalidRequest:  # its upstream may know what it means
            return ""

    def _recorder(self, attempt: Attempt) -> recording.Recorder:
        return recording.Recorder(attempt.turn.candidate.wire, self.facts.op, attempt.turn.endpoint.id)

    # ---- the end --------------------------------------------------------------------------------

    async def _complete(self, attempt: Attempt | None) -> None:
        for keep in _kept(self.writer):
            await self._keep(keep)
        asked_trace = self.facts.wire.stream and "trace" in self.facts.hints
        if data := (headers.trace(self) if asked_trace else b"") + self.writer.end():
            if not self.committed:
                await self._commit(attempt)
            await self.client.write(data)
        self.outcome = "complete"
        if attempt:
            self.engine.sessions.put(self.facts, attempt.turn.endpoint.id)

    async def _fail(self, decision: Decision) -> None:
        lines = self.attempts.lines()
        if self.attempts.left() <= 0:
            why = trouble.timed_out(self.facts.id, lines, self.seconds)
        elif self.attempts.refused and not self.attempts.made:
            why = trouble.exhausted(self.facts.id, self.attempts.refused, self.engine.clock())
        else:
            why = trouble.explain(self.facts.id, lines, decision, self.engine.clock())
        if not self.committed:
            if self.facts.op == "count" and (why.kind != "invalid_request" or not self.attempts.made):
                return await self._estimate()
            return await self._refuse(why)
        self.outcome = "broken"
        return await self.client.write(self.writer.fail(why))

    async def _estimate(self) -> None:
        """Tokens are counted here where no upstream does it."""
        events = (Begin("", self.facts.asked), Result(self.facts.input_tokens), Finish("stop"))
        await self._forward([Frame(Wire("", False), b"", events)], None)
        await self._complete(None)

    async def _refuse(self, why: Trouble) -> None:
        self.outcome, self.status, self.committed = "refused", why.status, True
        await self.client.start(why.status, headers.refusal(self, why))
        await self.client.write(self.dialect.refuse(why))

    def close(self) -> None:
        """Runs once, also when cancelled; nothing in it waits."""
        self.attempts.close()
        if self._reservation:
            self._reservation.close({"requests": 1.0})
        self.engine.record(self._record(), self.world)

    def _record(self) -> RequestRecord:
        lines = self.attempts.lines()
        made = [line for line in lines if isinstance(line, Line)]
        served = made[-1] if made and made[-1].failure is None else None  # what came before has failed
        costs = [line.cost for line in made]
        return RequestRecord(
            facts=self.facts,
            decision=self.decision,
            steps=lines,
            outcome=self.outcome,
            status=self.status,
            cache=self.cache,
            usage=served.usage if served else UNUSED,
            cost=None if None in costs else sum(cost or 0.0 for cost in costs),
            dropped=self.attempts.dropped,
            first_output=served.first_output if served else None,
            ended=self.engine.clock(),
        )


def _kept(writer: Writer) -> Iterable[Keep]:
    """What `Keeps` names. Asked by attribute: an isinstance of a protocol costs 6 µs."""
    keeps: Callable[[], Iterable[Keep]] | None = getattr(writer, "keeps", None)
    return keeps() if keeps else ()
