"""One upstream call and everything it holds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence

import msgspec

from llmrouter.catalogue.prices import cost as price
from llmrouter.errors import TransportError
from llmrouter.protocols import Clock, Provider, Reader, Reply, Reservation
from llmrouter.types import Attempt as Line
from llmrouter.types import Call, Failure, Fault, Frame, Role, Sighting, Unit, Usage, Verdict

from .reading import Reading
from .silence import Patience, Silence
from .ticket import Ticket
from .turns import Turn

HELD_FRAMES = 64
HELD_BYTES = 256 * 1024
"""What may be held back until the first output: enough for every vendor's preamble."""
ERROR_BODY = 64 * 1024
NOTHING = Usage()
REPAIRED = 0.1
"""How much of a failure an answer is that could be mended."""

TRUNCATED = Failure(
    kind="truncated", scope="endpoint", message="the answer ended before it was finished", by="answer"
)
Judge = Callable[[int, Mapping[str, str], bytes], Verdict]
Mend = Callable[[Sequence[Frame], bool], "tuple[Sequence[Frame], str] | None"]
"""Frames of a whole answer, and whether they are flawed → the answer as it was meant, and what was mended."""


class Broken(Exception):
    """The upstream failed while its answer was being read."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.kind)
        self.failure = failure


class Attempt:
    """Owns one reply, one reservation and one place in flight. `finish` ends all three, once, without waiting."""

    _chunks: AsyncIterator[bytes]

    def __init__(
        self,
        *,
        turn: Turn,
        provider: Provider,
        judge: Judge,
        reader: Reader,
        reading: Reading,
        reservation: Reservation,
        ticket: Ticket,
        patience: Patience,
        clock: Clock,
        started: float,
        role: Role = "turn",
        tokens: int = 0,  # of the prompt, as far as they are known
        mend: Mend | None = None,
    ) -> None:
        self.turn, self.provider, self.judge, self.reader, self.reading = turn, provider, judge, reader, reading
        self.reservation, self.ticket = reservation, ticket
        self.patience, self.clock, self.started, self.role = patience, clock, started, role
        self.tokens, self.mend = tokens, mend
        self.sent = False
        self.reply: Reply | None = None
        self.sightings: tuple[Sighting, ...] = ()
        self.line: Line | None = None
        self.spare: Sequence[Frame] = ()  # a whole answer that was not good enough
        self.repaired = ""
        self.dropped: tuple[str, ...] = ()  # what the upstream was not told, or was told otherwise
        self._held: Sequence[Frame] = ()
        self._size = 0
        self._ended = False  # the upstream has no more bytes
        self._silence: Silence | None = None

    @property
    def first_output(self) -> float | None:
        return self.reading.first_output

    # ---- the way in -----------------------------------------------------------------------------

    async def open(self, call: Call) -> Failure | None:
        """Send, and read up to the first output. What the upstream does wrong is a value here."""
        try:
            return await self._sent(call) or await self._begun()
        except Broken as broken:
            return broken.failure
        except TransportError as error:
            self.sent = self.sent and error.sent
            return _of(error)
        except Exception as error:  # a provider plugin's own mistake must not take the request down
            return _internal(error)

    async def _begun(self) -> Failure | None:
        """The headers are there."""
        reply = self.reply
        assert reply is not None
        if reply.status >= 300:
            return await self._refused(reply)
        verdict = self.judge(reply.status, reply.headers, b"")
        self.sightings = verdict.sightings
        if verdict.failure:
            return verdict.failure
        self._chunks = aiter(reply.chunks())
        return await self._hold_back()

    async def _sent(self, call: Call) -> Failure | None:
        """Wait for the headers. The one timer of an attempt ends this wait, too."""
        loop = asyncio.get_running_loop()
        task = asyncio.current_task(loop)
        assert task is not None
        silence = self._silence = Silence(self.patience, self.reading, loop)
        silence.begin(task)
        self.sent = True
        try:
            self.reply = await self.provider.send(call)
        except asyncio.CancelledError:
            if silence.expired and task.uncancel() == 0:
                return silence.expired
            raise
        finally:
            silence.headed(self.reply)
        return None

    async def _refused(self, reply: Reply) -> Failure:
        body = b""
        async for chunk in reply.chunks():
            body += chunk
            if len(body) > ERROR_BODY:
                break
        verdict = self.judge(reply.status, reply.headers, body)
        self.sightings = verdict.sightings
        return verdict.failure or Failure(
            kind="server_error",
            scope="endpoint",
            status=reply.status,
            message=f"an answer with status {reply.status}",
            by="status",
        )

    async def _hold_back(self) -> Failure | None:
        """Read as far as an answer may be replaced: up to its first output, or to its end."""
        held: list[Frame] = []
        while not self._is_released():
            try:
                frames = self._read(await anext(self._chunks))
            except (StopAsyncIteration, TransportError) as error:
                frames = self._end(error)
            if frames:
                held += frames
                if self._is_too_much(held):
                    break
        return self._failed(held)

    def _is_released(self) -> bool:
        reading = self.reading
        if self._ended or reading.fault:
            return True
        if reading.flaw:  # its usage may still come, unless it would go on for ever
            return not reading.finished
        return not reading.holds

    def _is_too_much(self, held: Sequence[Frame]) -> bool:
        if self.reading.first_output is None:
            return len(held) > HELD_FRAMES or self._size > HELD_BYTES
        if self._size > self.patience.max_answer:
            raise self._too_large()
        return False

    def _failed(self, held: Sequence[Frame]) -> Failure | None:
        """What is wrong with what was held back; it is kept to be given where nothing is."""
        reading = self.reading
        if reading.fault:
            return self._fault(reading.fault)
        if self._ended and not reading.finished:
            return TRUNCATED
        self._held = held
        if not reading.finished:
            return reading.flaw
        if self.mend and (mended := self.mend(held, reading.flaw is not None)):
            self._held, self.repaired = mended
            return None
        if reading.flaw is None:
            return None
        self.spare, self._held = held, ()
        return reading.flaw

    # ---- the answer -----------------------------------------------------------------------------

    async def more(self) -> Sequence[Frame] | None:
        """The next frames: what was held back, then a chunk's worth. None: the answer is whole. Raises Broken."""
        reading = self.reading
        if held := self._held:
            self._held, reading.given = (), True
            return held
        kept: list[Frame] = []
        while not self._ended:
            if reading.fault:
                raise Broken(self._fault(reading.fault))
            try:
                frames = self._read(await anext(self._chunks))
            except (StopAsyncIteration, TransportError) as error:
                frames = self._end(error)
            if not frames:
                continue
            if reading.keeps:
                kept += frames
            elif not kept:
                return frames
            elif reading.flaw:
                raise Broken(reading.flaw)
            else:
                return [*kept, *frames]
        if not reading.finished:
            raise Broken(TRUNCATED)
        return None

    def _read(self, chunk: bytes) -> Sequence[Frame]:
        silence = self._silence
        assert silence is not None
        silence.heard()
        self._size += len(chunk)
        if self._size > self.patience.max_answer and not self.turn.candidate.wire.stream:
            raise self._too_large()
        frames = self.reader.feed(chunk)
        if not frames:
            return ()
        seen = self.reading.see([*frames])
        if self.reading.finished:
            silence.hurry()  # from here on the upstream is given seconds, not its whole patience
        return seen

    def _end(self, why: StopAsyncIteration | TransportError) -> Sequence[Frame]:
        """No more bytes. After a finish it does not matter why."""
        failure = self._silence and self._silence.expired
        if not failure and isinstance(why, TransportError):
            failure = _of(why)
        if failure and not self.reading.finished:
            raise Broken(failure)
        seen = self.reading.see(list(self.reader.end()))
        self._ended = not self.reading.fault  # which is raised first
        return seen

    def _too_large(self) -> Broken:
        message = f"the answer is larger than {self.patience.max_answer} bytes"
        return Broken(Failure(kind="malformed_chunk", scope="endpoint", message=message, by="answer"))

    def _fault(self, fault: Fault) -> Failure:
        if fault.malformed:
            message = f"not an answer of {self.turn.candidate.wire.dialect}"
            return Failure(kind="malformed_chunk", scope="endpoint", message=message, by="answer")
        assert self.reply is not None
        try:
            verdict = self.judge(self.reply.status, self.reply.headers, fault.body)
        except Exception as error:  # a provider plugin's own mistake
            return _internal(error)
        return verdict.failure or Failure(
            kind="server_error",
            scope="endpoint",
            status=self.reply.status,
            message="an error inside an answer",
            by="answer",
        )

    # ---- the way out ----------------------------------------------------------------------------

    def finish(self, failure: Failure | None) -> None:
        """The only way out, from every state. The first call counts; later ones do nothing."""
        if self.line is not None:
            return
        if self._silence:
            self._silence.end()
        if self.reply:
            self.reply.close()
        turn, reading = self.turn, self.reading
        answered = self.sent and not (self.reply and self.reply.status >= 300)  # it was taken on, and may be billed
        usage, first = reading.usage, reading.first_output
        cost: float | None = 0.0
        if answered:
            cost = price(turn.endpoint.card.price, usage) if usage else turn.candidate.cost
        flaw = reading.flaw if failure is None else None
        self.line = Line(
            endpoint=turn.endpoint.id,
            account=turn.account.id,
            started=self.started,
            first_output=first,
            ended=self.clock(),
            failure=failure,
            usage=usage or NOTHING,
            cost=cost,
            estimated=answered and usage is None and cost is not None,
            via=reading.via,
            role=self.role,
            flaw=flaw,
            repaired=self.repaired,
        )
        if answered:
            self.reservation.close(_spent(usage, cost) if usage else None)  # None: the estimate stands
        else:
            self.reservation.close({"requests": 1.0} if self.sent else {})
        ttft = None if first is None else first - self.started
        weight = REPAIRED if self.repaired else None
        self.ticket.end(failure, ttft, self.tokens, stream=turn.candidate.wire.stream, flaw=flaw, weight=weight)

    def excuse(self) -> Sequence[Frame]:
        """The answer that was not good enough, to be given because there is no better one."""
        assert self.line is not None
        self.line = msgspec.structs.replace(self.line, failure=None, flaw=self.line.failure)
        spare, self.spare = self.spare, ()
        return spare


def _spent(usage: Usage, cost: float | None) -> Mapping[Unit, float]:
    input, output = usage.prompt, usage.completion
    return {
        "requests": 1.0,
        "tokens": input + output,
        "input_tokens": input,
        "output_tokens": output,
        "usd": cost or 0.0,
    }


def _of(error: TransportError) -> Failure:
    scope = "provider" if error.kind == "connect" else "endpoint"
    return Failure(kind=error.kind, scope=scope, message=str(error), by="transport")  # type: ignore[arg-type]


def _internal(error: Exception) -> Failure:
    return Failure(
        kind="internal", scope="endpoint", message=f"{type(error).__name__} in the provider", by="plugin"
    )
