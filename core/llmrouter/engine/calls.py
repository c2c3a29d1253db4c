"""What one attempt of a request sends, and how its answer will be read."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from llmrouter.dialects.renaming import Renamed
from llmrouter.dialects.translating import translated
from llmrouter.errors import InvalidRequest
from llmrouter.protocols import Remembers, Reservation
from llmrouter.settings import EngineSettings
from llmrouter.types import Call, Failure, Fields, Request, Role

from .attempt import Attempt, Mend
from .inspection import Inspection, expected_of
from .mending import mended
from .reading import Reading
from .rules import judging
from .silence import Patience
from .ticket import Ticket
from .turns import Turn
from .world import World

if TYPE_CHECKING:
    from .engine import Engine

TOKENS_PER_SECOND = 20.0
"""A plain answer comes when it is done: it gets a second for so many tokens it may have."""
MOST_OUTPUT = 4096
"""Tokens that a plain answer may have where the request does not say."""

JSON = frozenset({"json_schema", "json_object"})
"""Needs of a request whose answer is to be JSON."""
FORMAL = JSON | {"tools"}
"""Needs of a request whose answer has a form that can be spoiled, and mended."""


class Calls(msgspec.Struct, eq=False):
    """Makes the attempts of one request. `deadline` is on the loop's clock."""

    engine: Engine
    request: Request
    world: World
    settings: EngineSettings
    deadline: float

    def make(self, turn: Turn, reservation: Reservation, ticket: Ticket, role: Role) -> Attempt:
        facts, settings, world = self.request.facts, self.settings, self.world
        wire, clock, stream = turn.candidate.wire, self.engine.clock, settings.stream
        provider, whole = world.providers[turn.endpoint.provider], wire.stream and stream.on_break == "buffer"
        inspection = self._inspection() if facts.op == "chat" and settings.check_answers else None
        return Attempt(
            turn=turn,
            provider=provider,
            judge=judging(settings.rules, turn.endpoint.provider, provider.judge)
            if settings.rules
            else provider.judge,
            reader=world.dialects[wire.dialect].reader(facts.op, wire.stream),
            reading=Reading(
                clock,
                whole=whole,
                calls=stream.hold_tool_calls,
                skips=stream.on_malformed == "skip",
                counts=settings.timeouts.min_rate is not None,
                inspection=inspection,
            ),
            reservation=reservation,
            ticket=ticket,
            patience=self._patience(turn),
            clock=clock,
            sight=self.engine.sight,
            started=ticket.began,
            role=role,
            tokens=facts.input_tokens,
            mend=self._mend(inspection) if inspection and facts.needs and (whole or not wire.stream) else None,
        )

    def _inspection(self) -> Inspection:
        facts = self.request.facts
        expected = partial(expected_of, self.world.dialects[facts.wire.dialect], facts.op, self.request.fields)
        return Inspection(expected, json=not JSON.isdisjoint(facts.needs))

    def _mend(self, inspection: Inspection) -> Mend | None:
        """What mends an answer that is held back whole; of others it would depend on how their bytes arrive."""
        repair = self.world.repair
        if repair is None or FORMAL.isdisjoint(self.request.facts.needs):
            return None
        return partial(mended, repair, inspection)

    def send(self, attempt: Attempt) -> Coroutine[Any, Any, Failure | None]:
        """What is wrong with the answer, if so, as soon as it may be written."""
        if attempt.turn.endpoint.card.keeps:
            return self._send_remembering(attempt)
        try:
            return attempt.open(self._call(attempt, self._fields(attempt)))
        except Exception as error:
            return _found(self._unsaid(attempt, error))

    async def _send_remembering(self, attempt: Attempt) -> Failure | None:
        try:
            call = self._call(attempt, await self._remembered(attempt, self._fields(attempt)))
        except Exception as error:
            return self._unsaid(attempt, error)
        return await attempt.open(call)

    def _unsaid(self, attempt: Attempt, error: Exception) -> Failure:
        """Why there is nothing to send."""
        if isinstance(error, InvalidRequest):  # who speaks the client's own dialect may still take it
            return Failure(
                kind="invalid_request",
                scope="request",
                status=400,
                message=str(error),
                code="unsupported_value",
                param=error.param,
                by="translation",
            )
        # A dialect's mistake: another one's endpoint may still serve.
        self.engine.log.error(
            "%s: cannot be said to %s", self.request.facts.id, attempt.turn.endpoint.id, exc_info=error
        )
        message = f"{type(error).__name__} in the dialect"
        return Failure(kind="internal", scope="endpoint", message=message, by="translation")

    def _call(self, attempt: Attempt, fields: Fields) -> Call:
        turn, request = attempt.turn, self.request
        endpoint, wire = turn.endpoint, turn.candidate.wire
        return Call(
            endpoint=endpoint,
            account=turn.account,
            op=request.facts.op,
            wire=wire,
            fields=self.world.dialects[wire.dialect].aim(fields, endpoint.model, wire.stream),
            headers=request.headers if wire.dialect == request.facts.wire.dialect else {},
            timeout=attempt.patience.headers,
        )

    def _fields(self, attempt: Attempt) -> Fields:
        """The client's own fields in its own dialect; decoded and encoded for another. Then one way for both."""
        request, dialect = self.request, attempt.turn.candidate.wire.dialect
        if dialect == request.facts.wire.dialect:
            return request.fields
        own, target = self.world.dialects[request.facts.wire.dialect], self.world.dialects[dialect]
        encoded = translated(own, target, request.facts.op, request.fields)
        attempt.dropped = encoded.dropped
        if encoded.renamed:
            attempt.reader = Renamed(attempt.reader, encoded.renamed)
        return encoded.fields

    async def _remembered(self, attempt: Attempt, fields: Fields) -> Fields:
        """The fields with what the vendor of this model wants back of earlier answers."""
        target = self.world.dialects[attempt.turn.candidate.wire.dialect]
        if target.name not in attempt.turn.endpoint.card.keeps or not isinstance(target, Remembers):
            return fields
        found = await self.engine.memory.find(self.request.facts.client, target.names(fields))
        resolved = target.resolve(fields, found)
        attempt.dropped += tuple([name for name in fields if name not in resolved])
        return resolved

    def _patience(self, turn: Turn) -> Patience:
        times, facts = self.settings.timeouts, self.request.facts
        waits, slow = self.world.settings.providers[turn.endpoint.provider].timeout, 0.0
        if not waits:
            waits = times.headers
            if facts.op == "chat" and not turn.candidate.wire.stream:
                slow = min(facts.max_output or MOST_OUTPUT, MOST_OUTPUT) / TOKENS_PER_SECOND
        headers, left = waits + slow, self.deadline - asyncio.get_running_loop().time()
        return Patience(
            headers=headers if headers < left else max(0.001, left),
            ttft=headers if waits > times.ttft_hard else times.ttft_hard + slow,
            idle=times.idle,
            deadline=self.deadline,
            max_answer=self.settings.max_answer,
            min_rate=times.min_rate,
        )


async def _found(failure: Failure) -> Failure:
    return failure
