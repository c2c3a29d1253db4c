"""One request under way: plan → attempts → frames → client → record."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Container, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Literal

from llmrouter.catalogue.names import Expansion
from llmrouter.errors import InvalidRequest
from llmrouter.protocols import Client, Reservation, Writer
from llmrouter.types import Attempt as Line
from llmrouter.types import (
    Begin,
    Decision,
    Exhausted,
    Failure,
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
from .attempt import Attempt, Broken, Into
from .attempts import CANCELLED, NONE, Attempts
from .flights import Flight
from .outlet import Outlet
from .rescue import Rescue, Said
from .tokens import counted
from .world import World

if TYPE_CHECKING:
    from .engine import Engine

LATE = Failure(kind="stall", scope="request", message="no answer within the request's own time", by="clock")
UNUSED = Usage()
NOTHING = frozenset[str]()


class Exchange:
    """One request under way. Owns its attempts and its writer; writes the one record."""

    def __init__(self, engine: Engine, request: Request, world: World, client: Client) -> None:
        facts = request.facts
        self.dialect = world.dialects[facts.wire.dialect]
        self.expansion: Expansion = world.expansion(facts)
        if world.counter:
            request = counted(request, self.expansion, self.dialect, world.counter)
        self.engine, self.request, self.world, self.outlet = engine, request, world, Outlet(client)
        self.facts = request.facts
        self.writer: Writer = self.dialect.writer(request)
        self.settings = self.expansion.engine or world.settings.engine
        self.seconds = headers.seconds(facts.hints, self.settings.deadline)
        self.deadline = asyncio.get_running_loop().time() + self.seconds
        self.decision: Decision | None = None
        self.attempts: Attempts = NONE
        self.outcome: Outcome = "cancelled"
        self.cache: Literal["hit", "miss", "bypass", "shared"] = "bypass"
        self.shared = ""  # the id of the request whose answer this is, too
        self._key = ""
        self._reservation: Reservation | None = None
        self._broken: Failure | None = None  # why the first answer broke off after something of it was written
        verifies = facts.wire.stream and facts.op == "chat" and self.settings.stream.on_break == "verify"
        self._said = Said() if verifies else None  # kept where it may be needed to go on
        self._rescue: Rescue | None = None
        self._flight: Flight | None = None  # others follow this request

    async def run(self) -> None:
        """Serve the request to its end. Only cancellation leaves it early."""
        self.engine.under_way += 1
        try:
            # What the client itself is limited to is taken once for the whole request, where nobody need be asked.
            self._reservation = self.engine.quota.take(self.world.limits.admission(self.facts.client))
            if self._reservation is None and (refusal := await self._admit()):
                return await self._refuse(refusal)
            if self.facts.wire.stream:
                every = self.settings.stream.keep_alive
                self.outlet.keep_alive(every, self.writer, partial(headers.answer, self, None))
            key = self._key = self._made_key() if self.facts.replayable else ""
            if key and (await self._answered_by_cache(key) or await self._answered_by_another(key)):
                return await self._complete(None)
            decision = self.decision = self.engine.decide(self.request, self.world, self.expansion)
            group, settings = self.expansion.group, self.settings
            self.attempts = Attempts(
                self.engine, self.request, self.world, group, settings, self.deadline, decision
            )
            while (not self.outlet.committed or self._rescue) and (
                attempt := await self.attempts.open("rescue" if self._rescue else "turn")
            ):
                tape = self._recorder(attempt) if key and not self._rescue else None
                failure = await attempt.pour(self._way(attempt, tape, self._rescue))
                if failure is None:
                    attempt.finish(None)
                    if tape and (kept := tape.done()):
                        await self.engine.store(key, kept, self.world)
                    return await self._complete(attempt)
                if not await self._goes_on_after(attempt, failure):
                    break
            return await self._fail(decision)
        finally:
            self.engine.under_way -= 1
            self.close()

    async def _admit(self) -> Trouble | None:
        """Ask for what the client itself is limited to. Why it may not have it, or None."""
        taken = await self.engine.quota.reserve(self.world.limits.admission(self.facts.client))
        if isinstance(taken, Exhausted):
            return trouble.exhausted(self.facts.id, taken, self.engine.clock())
        self._reservation = taken
        return None

    # ---- an answer ------------------------------------------------------------------------------

    def _way(
        self, attempt: Attempt | None, tape: recording.Recorder | None = None, rescue: Rescue | None = None
    ) -> Into:
        """How the frames of one answer come to the client. What is the same for all of them is asked here."""
        write, tell, wire = self.writer.write, self.outlet.write, self.facts.wire
        head = partial(headers.answer, self, attempt)

        def told(frames: Sequence[Frame]) -> Awaitable[None] | None:
            data = b""
            for frame in frames:
                data += write(frame, frame.wire == wire)
            return tell(data, head) if data else None

        keeps = attempt.turn.endpoint.card.keeps if attempt else NOTHING
        if tape or rescue or keeps or self._said or self._flight:
            return partial(self._noted, told, tape, rescue, keeps)
        return told

    def _noted(
        self,
        told: Into,
        tape: recording.Recorder | None,
        rescue: Rescue | None,
        keeps: frozenset[str],
        frames: Sequence[Frame],
    ) -> Awaitable[None] | None:
        """The same, with notes for those who may need the frames once more."""
        if tape:
            tape.take(frames)
        if rescue:
            frames = rescue.passed(frames)
        if self._flight:
            self._flight.take(frames)
        if self._said:
            for frame in frames:
                self._said.take(frame.events)
        if keeps and (kept := _named(frames, keeps)):
            return self._told_after(kept, told, frames)
        return told(frames)

    async def _told_after(self, kept: Iterable[Keep], told: Into, frames: Sequence[Frame]) -> None:
        """A client may refer to what it was told at once, and to another worker."""
        await self._keep(kept)
        if (written := told(frames)) is not None:
            await written

    async def _goes_on_after(self, attempt: Attempt, failure: Failure) -> bool:
        """End an attempt whose answer broke off. Whether another one may follow."""
        committed = self.outlet.committed
        if committed:
            self._broken = self._broken or failure
        await self.attempts.failed(attempt, failure, last=committed and not self._can_rescue())
        if committed:
            return self._go_on()
        self._begin_anew()
        return True

    def _begin_anew(self) -> None:
        """Nothing was written, so the next answer may be another. Who has passed on more goes on alone."""
        self.writer = self.dialect.writer(self.request)
        self._said = self._said and Said()
        if self._flight and self._flight.begun:
            self.engine.flights.end(self._key, CANCELLED)
            self._flight = None

    def _can_rescue(self) -> bool:
        return self._said is not None and self._said.can_go_on

    def _go_on(self) -> bool:
        """Whether another answer is asked for, to go on where this one broke off: once in a request."""
        if self._said is None or not self._can_rescue():
            return False
        self._rescue, self._said = Rescue(self._said), None
        return True

    async def _answered_by_cache(self, key: str) -> bool:
        if self.world.settings.cache is None:
            return False
        self.cache = "miss"
        kept = None if self.facts.hints.get("cache") == "refresh" else await self.engine.recall(key)
        tape = self.engine.replays.tape(kept, self.world.dialects) if kept else None
        if tape is None or not _names(self.expansion, tape.endpoint):
            return False
        self.cache = "hit"
        frames = tape.replay(self.world.dialects, headers.answer_id(self.facts.id, self.writer))
        if written := self._forward(frames, None):
            await written
        return True

    async def _answered_by_another(self, key: str) -> bool:
        """Whether the same request was under way, and gave its answer to this one, too. Else others may follow."""
        if not self.settings.coalesce:
            return False
        own, kept, failure = self.cache, self._said, None
        while (failure is None or failure.kind == "cancelled") and (flight := self.engine.flights.get(key)):
            self.cache, self.shared, self._said = "shared", flight.id, Said()
            failure = await self._followed(flight)
            if failure is None:
                return True
            if self.outlet.committed:
                self._broken, self._said = failure, self._said if kept or failure.kind == "cancelled" else None
                self._go_on()
                return False
            self.writer = self.dialect.writer(self.request)  # it may have been told of what nobody sees
        self.cache, self.shared, self._said = own, "", kept
        if failure is None or failure.kind == "cancelled":
            self._flight = self.engine.flights.begin(key, self.facts.id)
        return False

    async def _followed(self, flight: Flight) -> Failure | None:
        """Give what another request is given. The failure that ended it, or that its client has left."""
        seen, into = 0, self._way(None)
        try:
            async with asyncio.timeout_at(self.deadline):  # its own, whatever the other's is
                while (frames := await flight.more(seen)) is not None:
                    seen += len(frames)
                    if (written := into(frames)) is not None:
                        await written
        except Broken as broken:
            return broken.failure
        except TimeoutError:
            return LATE
        return None

    def _forward(self, frames: Iterable[Frame], attempt: Attempt | None) -> Awaitable[None] | None:
        """Give all of an answer at once."""
        return self._way(attempt)([*frames])

    def _write(self, data: bytes, attempt: Attempt | None) -> Awaitable[None] | None:
        return self.outlet.write(data, partial(headers.answer, self, attempt))

    async def _keep(self, kept: Iterable[Keep]) -> None:
        for keep in kept:
            await self.engine.memory.keep(self.facts.client, keep)

    def _made_key(self) -> str:
        """The name that identical requests share; "" where an answer is for this one only."""
        cache = self.world.settings.cache
        if self.facts.hints.get("cache") == "no" or (cache is None and not self.settings.coalesce):
            return ""
        try:
            return self.engine.replays.key(self.dialect, self.request, shared=cache is not None and cache.shared)
        except InvalidRequest:  # its upstream may know what it means
            return ""

    def _recorder(self, attempt: Attempt) -> recording.Recorder:
        return recording.Recorder(attempt.turn.candidate.wire, self.facts.op, attempt.turn.endpoint.id)

    # ---- the end --------------------------------------------------------------------------------

    async def _complete(self, attempt: Attempt | None) -> None:
        if kept := _kept(self.writer):
            await self._keep(kept)
        data = self.writer.end()
        if self.facts.wire.stream and "trace" in self.facts.hints:
            data = headers.trace(self) + data
        if data and (written := self._write(data, attempt)):
            await written
        self.outcome = "complete"
        if attempt:
            self.engine.sessions.put(self.facts, attempt.turn.endpoint.id)

    async def _fail(self, decision: Decision) -> None:
        await self.outlet.settle()
        lines = self.attempts.lines()
        if self.attempts.left() <= 0:
            why = trouble.timed_out(self.facts.id, lines, self.seconds)
        elif self.attempts.admission.refused and not self.attempts.made:
            why = trouble.exhausted(self.facts.id, self.attempts.admission.refused, self.engine.clock())
        elif self.attempts.admission.queue and not self.attempts.made:
            full, waited = self.attempts.admission.queue == "full", self.attempts.admission.queued
            why = trouble.waited(self.facts.id, lines, full=full, seconds=waited, now=self.engine.clock())
        else:
            why = trouble.explain(self.facts.id, lines, decision, self.engine.clock(), self._broken)
        if not self.outlet.committed and (spare := self.attempts.spare()):
            if written := self._forward(spare.excuse(), spare):
                await written
            return await self._complete(spare)
        if not self.outlet.opened:
            if self.facts.op == "count" and (why.kind != "invalid_request" or not self.attempts.made):
                return await self._estimate()
            return await self._refuse(why)
        self.outcome = "broken"
        if written := self._write(self.writer.fail(why), None):
            await written
        return None

    async def _estimate(self) -> None:
        """Tokens are counted here where no upstream does it."""
        events = (Begin("", self.facts.asked), Result(self.facts.input_tokens), Finish("stop"))
        if written := self._forward([Frame(Wire("", False), b"", events)], None):
            await written
        await self._complete(None)

    async def _refuse(self, why: Trouble) -> None:
        self.outcome = "refused"
        await self.outlet.refuse(why.status, headers.refusal(self, why), self.dialect.refuse(why))

    def close(self) -> None:
        """Runs once, also when cancelled; nothing in it waits."""
        self.attempts.close()
        self.engine.queues.released()
        self.outlet.end()
        if self._flight:
            self.engine.flights.end(self._key, None if self.outcome == "complete" else self._why_not())
        if self._reservation:
            self._reservation.close({"requests": 1.0})
        self.engine.record(self._record(), self.world)

    def _why_not(self) -> Failure:
        """Why there is no whole answer, for those who waited for it, too."""
        failed = [line.failure for line in self.attempts.lines() if isinstance(line, Line) and line.failure]
        if self.outcome == "cancelled" or not failed:
            return CANCELLED
        return self._broken or failed[-1]

    def _record(self) -> RequestRecord:
        lines = self.attempts.lines()
        served: Line | None = None
        cost: float | None = 0.0
        for line in lines:
            if type(line) is Line:
                cost = None if cost is None or line.cost is None else cost + line.cost
                if line.failure is None:  # the others have failed
                    served = line
        return RequestRecord(
            facts=self.facts,
            decision=self.decision,
            steps=lines,
            outcome=self.outcome,
            status=self.outlet.status,
            cache=self.cache,
            usage=served.usage if served else UNUSED,
            cost=cost,
            dropped=self.attempts.dropped,
            first_output=served.first_output if served else None,
            ended=self.engine.clock(),
            queued=self.attempts.queued,
            shared=self.shared,
        )


def _names(expansion: Expansion, endpoint: str) -> bool:
    """Whether what was asked for stands for this endpoint, among others."""
    for tier in expansion.tiers:
        for place in tier:
            if place.endpoint.id == endpoint:
                return True
    return False


def _named(frames: Iterable[Frame], dialects: Container[str]) -> Sequence[Keep]:
    """What is to be kept of frames of these dialects."""
    events = [event for frame in frames if frame.wire.dialect in dialects for event in frame.events]
    return [event for event in events if type(event) is Keep]


def _kept(writer: Writer) -> Iterable[Keep]:
    """What `Keeps` names. Asked by attribute: an isinstance of a protocol costs 6 µs."""
    keeps: Callable[[], Iterable[Keep]] | None = getattr(writer, "keeps", None)
    return keeps() if keeps else ()
