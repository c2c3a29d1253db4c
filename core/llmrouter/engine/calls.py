"""What one attempt of a request sends, and how its answer will be read."""

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
from llmrouter.settings import EngineSettings
from llmrouter.types import Ask, Call, Failure, Request, Role

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
        facts = request.facts
        self._reads = facts.op == "chat" and settings.check_answers
        self._whole = facts.wire.stream and settings.stream.on_break == "buffer"
        self._may_be_json = not JSON.isdisjoint(facts.needs)
        self._repair = world.repair if self._reads and not FORMAL.isdisjoint(facts.needs) else None
        self._expected = partial(expected_of, world.dialects[facts.wire.dialect], facts.op, request.fields)

    def make(self, turn: Turn, reservation: Reservation, ticket: Ticket, role: Role) -> Attempt:
        wire, world, clock = turn.candidate.wire, self._world, self._engine.clock
        provider, stream = world.providers[turn.endpoint.provider], self._settings.stream
        inspection = Inspection(self._expected, self._may_be_json) if self._reads else None
        return Attempt(
            turn=turn,
            provider=provider,
            judge=judging(self._settings.rules, turn.endpoint.provider, provider.judge),
            reader=world.dialects[wire.dialect].reader(self._request.facts.op, wire.stream),
            reading=Reading(
                clock,
                whole=self._whole,
                calls=stream.hold_tool_calls,
                skips=stream.on_malformed == "skip",
                counts=self._settings.timeouts.min_rate is not None,
                inspection=inspection,
            ),
            reservation=reservation,
            ticket=ticket,
            patience=self._patience(turn),
            clock=clock,
            started=ticket.began,
            role=role,
            tokens=self._request.facts.input_tokens,
            mend=self._mend(inspection, wire.stream),
        )

    def _mend(self, inspection: Inspection | None, stream: bool) -> Mend | None:
        """What mends an answer, where one is held back whole; else it would depend on how its bytes arrive."""
        if self._repair is None or inspection is None or (stream and not self._whole):
            return None
        return partial(mended, self._repair, inspection)

    async def send(self, attempt: Attempt) -> Failure | None:
        """What is wrong with the answer, if so, as soon as it may be written."""
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
                by="translation",
            )
        except Exception as error:  # a dialect's mistake: another one's endpoint may still serve
            self._engine.log.exception("%s: cannot be said to %s", self._request.facts.id, attempt.turn.endpoint.id)
            message = f"{type(error).__name__} in the dialect"
            return Failure(kind="internal", scope="endpoint", message=message, by="translation")
        failure = await attempt.open(call)
        self._engine.sight(attempt, self._world)
        return failure

    async def _call(self, attempt: Attempt) -> Call:
        turn, op = attempt.turn, self._request.facts.op
        target = self._world.dialects[turn.candidate.wire.dialect]
        fields = self._fields(target, attempt)
        if target.name in turn.endpoint.card.keeps and isinstance(target, Remembers):
            resolved = target.resolve(fields, await self._found(target.names(fields)))
            attempt.dropped += tuple([name for name in fields if name not in resolved])
            fields = resolved
        native = turn.candidate.wire.dialect == self._request.facts.wire.dialect
        return Call(
            endpoint=turn.endpoint,
            account=turn.account,
            op=op,
            wire=turn.candidate.wire,
            fields=target.aim(fields, turn.endpoint.model, turn.candidate.wire.stream),
            headers=self._request.headers if native else {},
            timeout=attempt.patience.headers,
        )

    def _fields(self, target: Dialect, attempt: Attempt) -> dict[str, Raw]:
        """The client's own fields in its own dialect; decoded and encoded for another. Then one way for both."""
        own, op = self._world.dialects[self._request.facts.wire.dialect], self._request.facts.op
        if target is own:
            return self._request.fields
        encoded = translated(own, target, op, self._request.fields)
        attempt.dropped = encoded.dropped
        if encoded.renamed:
            attempt.reader = Renamed(attempt.reader, encoded.renamed)
        return encoded.fields

    async def _found(self, names: Sequence[str]) -> Mapping[str, bytes]:
        return await self._engine.memory.find(self._request.facts.client, names)

    def _patience(self, turn: Turn) -> Patience:
        times, facts = self._settings.timeouts, self._request.facts
        own = self._world.settings.providers[turn.endpoint.provider].timeout
        waits, slow = own or times.headers, 0.0
        if own is None and facts.op == "chat" and not turn.candidate.wire.stream:
            slow = min(facts.max_output or MOST_OUTPUT, MOST_OUTPUT) / TOKENS_PER_SECOND
        return Patience(
            headers=max(0.001, min(waits + slow, self._deadline - asyncio.get_running_loop().time())),
            ttft=max(waits, times.ttft_hard) + slow,
            idle=times.idle,
            deadline=self._deadline,
            max_answer=self._settings.max_answer,
            min_rate=times.min_rate,
        )

    def asks(self, turn: Turn) -> list[Ask]:
        """One call of the account, and the tokens and dollars of the client."""
        limits, facts = self._world.limits, self._request.facts
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
