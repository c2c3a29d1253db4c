"""What one attempt of a request sends, and how its answer will be read."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

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


class Calls:
    """Makes the attempts of one request. `deadline` is on the loop's clock."""

    def __init__(
        self, engine: Engine, request: Request, world: World, settings: EngineSettings, deadline: float
    ) -> None:
        self._engine, self._request, self._world, self._settings = engine, request, world, settings
        self._deadline = deadline
        self._whole = request.facts.wire.stream and settings.stream.on_break == "buffer"

    def make(self, turn: Turn, reservation: Reservation, ticket: Ticket, role: Role) -> Attempt:
        facts, settings, world = self._request.facts, self._settings, self._world
        wire, clock, stream = turn.candidate.wire, self._engine.clock, settings.stream
        provider = world.providers[turn.endpoint.provider]
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
                whole=self._whole,
                calls=stream.hold_tool_calls,
                skips=stream.on_malformed == "skip",
                counts=settings.timeouts.min_rate is not None,
                inspection=inspection,
            ),
            reservation=reservation,
            ticket=ticket,
            patience=self._patience(turn),
            clock=clock,
            started=ticket.began,
            role=role,
            tokens=facts.input_tokens,
            mend=self._mend(inspection, wire.stream) if inspection and facts.needs else None,
        )

    def _inspection(self) -> Inspection:
        facts = self._request.facts
        expected = partial(expected_of, self._world.dialects[facts.wire.dialect], facts.op, self._request.fields)
        return Inspection(expected, json=not JSON.isdisjoint(facts.needs))

    def _mend(self, inspection: Inspection, stream: bool) -> Mend | None:
        """What mends an answer, where one is held back whole; else it would depend on how its bytes arrive."""
        repair = self._world.repair
        if repair is None or FORMAL.isdisjoint(self._request.facts.needs) or (stream and not self._whole):
            return None
        return partial(mended, repair, inspection)

    async def send(self, attempt: Attempt) -> Failure | None:
        """What is wrong with the answer, if so, as soon as it may be written."""
        try:
            fields = self._fields(attempt)
            if attempt.turn.endpoint.card.keeps:
                fields = await self._remembered(attempt, fields)
            call = self._call(attempt, fields)
        except InvalidRequest as error:  # who speaks the client's own dialect may still take it
            return Failure(
                kind="invalid_request",
                scope="request",
                status=400,
                message=str(error),
                code="unsupported_value",
                param=error.param,
                by="translation",
            )
        except Exception as error:  # a dialect's mistake: another one's endpoint may still serve
            self._engine.log.exception("%s: cannot be said to %s", self._request.facts.id, attempt.turn.endpoint.id)
            message = f"{type(error).__name__} in the dialect"
            return Failure(kind="internal", scope="endpoint", message=message, by="translation")
        failure = await attempt.open(call)
        self._engine.sight(attempt, self._world)
        return failure

    def _call(self, attempt: Attempt, fields: Fields) -> Call:
        turn, request = attempt.turn, self._request
        endpoint, wire = turn.endpoint, turn.candidate.wire
        return Call(
            endpoint=endpoint,
            account=turn.account,
            op=request.facts.op,
            wire=wire,
            fields=self._world.dialects[wire.dialect].aim(fields, endpoint.model, wire.stream),
            headers=request.headers if wire.dialect == request.facts.wire.dialect else {},
            timeout=attempt.patience.headers,
        )

    def _fields(self, attempt: Attempt) -> Fields:
        """The client's own fields in its own dialect; decoded and encoded for another. Then one way for both."""
        request, dialect = self._request, attempt.turn.candidate.wire.dialect
        if dialect == request.facts.wire.dialect:
            return request.fields
        own, target = self._world.dialects[request.facts.wire.dialect], self._world.dialects[dialect]
        encoded = translated(own, target, request.facts.op, request.fields)
        attempt.dropped = encoded.dropped
        if encoded.renamed:
            attempt.reader = Renamed(attempt.reader, encoded.renamed)
        return encoded.fields

    async def _remembered(self, attempt: Attempt, fields: Fields) -> Fields:
        """The fields with what the vendor of this model wants back of earlier answers."""
        target = self._world.dialects[attempt.turn.candidate.wire.dialect]
        if target.name not in attempt.turn.endpoint.card.keeps or not isinstance(target, Remembers):
            return fields
        found = await self._engine.memory.find(self._request.facts.client, target.names(fields))
        resolved = target.resolve(fields, found)
        attempt.dropped += tuple([name for name in fields if name not in resolved])
        return resolved

    def _patience(self, turn: Turn) -> Patience:
        times, facts = self._settings.timeouts, self._request.facts
        own = self._world.settings.providers[turn.endpoint.provider].timeout
        waits, slow = own or times.headers, 0.0
        if own is None and facts.op == "chat" and not turn.candidate.wire.stream:
            slow = min(facts.max_output or MOST_OUTPUT, MOST_OUTPUT) / TOKENS_PER_SECOND
        left = self._deadline - asyncio.get_running_loop().time()
        return Patience(
            headers=waits + slow if waits + slow < left else max(0.001, left),
            ttft=(waits if waits > times.ttft_hard else times.ttft_hard) + slow,
            idle=times.idle,
            deadline=self._deadline,
            max_answer=self._settings.max_answer,
            min_rate=times.min_rate,
        )
