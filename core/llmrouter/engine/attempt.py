"""One upstream call and everything it holds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial

import msgspec

from llmrouter.catalogue.prices import cost as price
from llmrouter.errors import TransportError
from llmrouter.protocols import Clock, Provider, Reader, Reply, Reservation, Take
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
Pour = Callable[[Take], Awaitable[Awaitable[None] | None]]
Into = Callable[[Sequence[Frame]], Awaitable[None] | None]
"""Hands frames on: what is to be awaited before there may be more, if anything is."""
Mend = Callable[[Sequence[Frame], bool], "tuple[Sequence[Frame], str] | None"]
"""Frames of a whole answer, and whether they are flawed → the answer as it was meant, and what was mended."""


class Broken(Exception):
    """The upstream failed while its answer was being read."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.kind)
        self.failure = failure


class Attempt(msgspec.Struct, eq=False, kw_only=True):
    """Owns one reply, one reservation and one place in flight. `finish` ends all three, once, without waiting."""

    turn: Turn
    provider: Provider
    judge: Judge
    reader: Reader
    reading: Reading
    reservation: Reservation
    ticket: Ticket
    patience: Patience
    clock: Clock
    sight: Callable[[Turn, Sequence[Sighting]], None]  # told what the upstream says of its limits
    started: float
    role: Role = "turn"
    tokens: int = 0  # of the prompt, as far as they are known
    mend: Mend | None = None
    sent: bool = False
    reply: Reply | None = None
    line: Line | None = None
    spare: Sequence[Frame] = ()  # a whole answer that was not good enough
    repaired: str = ""
    dropped: tuple[str, ...] = ()  # what the upstream was not told, or was told otherwise
    _chunks: AsyncIterator[bytes] | None = None  # what the upstream says
    _held: Sequence[Frame] = ()
    _size: int = 0  # bytes that were read, as long as they are limited
    _ended: bool = False  # nothing more is read
    _silence: Silence | None = None

    @property
    def first_output(self) -> float | None:
        return self.reading.first_output

    # ---- the way in -----------------------------------------------------------------------------

    async def open(self, call: Call) -> Failure | None:
        """Send, and read up to the first output. What the upstream does wrong is a value here.

        The one timer of an attempt ends the wait for the headers, too.
        """
        task = asyncio.current_task()
        assert task is not None
        silence = self._silence = Silence(self.patience, self.reading, task)
        self.sent = True
        try:
            try:
                reply = self.reply = await self.provider.send(call)
            finally:
                silence.headed(self.reply)
            return await self._begun(reply, silence)
        except Broken as broken:
            return broken.failure
        except TransportError as error:
            self.sent = error.sent
            return _of(error)
        except asyncio.CancelledError:
            if self.reply is None and silence.expired and task.uncancel() == 0:
                return silence.expired
            raise
        except Exception as error:  # a provider plugin's own mistake must not take the request down
            return _internal(error)

    async def _begun(self, reply: Reply, silence: Silence) -> Failure | None:
        """The headers are there: read as far as an answer may be replaced, to its first output or to its end."""
        if reply.status >= 300:
            return await self._refused(reply)
        verdict = self.judge(reply.status, reply.headers, b"")
        if verdict.sightings:
            self.sight(self.turn, verdict.sightings)
        if verdict.failure:
            return verdict.failure
        held: list[Frame] = []
        chunk = (chunks := aiter(reply.chunks())).__anext__
        self._chunks = chunks
        while True:
            try:
                frames = self._measured(await chunk())
            except StopAsyncIteration:
                held += self.reading.see([*self._end()])
                break
            except TransportError as error:
                held += self.reading.see([*self._end(error)])
                break
            silence.heard()
            if frames:
                held += self.reading.see([*frames])
                if self._is_enough(held, silence):
                    break
        return self._failed(held)

    async def _refused(self, reply: Reply) -> Failure:
        body = b""
        async for chunk in reply.chunks():
            body += chunk
            if len(body) > ERROR_BODY:
                break
        verdict = self.judge(reply.status, reply.headers, body)
        if verdict.sightings:
            self.sight(self.turn, verdict.sightings)
        return verdict.failure or Failure(
            kind="server_error",
            scope="endpoint",
            status=reply.status,
            message=f"an answer with status {reply.status}",
            by="status",
        )

    def _is_enough(self, held: Sequence[Frame], silence: Silence) -> bool:
        """Whether no more must be held back: an answer may be written, or is none, or goes on for ever."""
        reading = self.reading
        if reading.fault:
            return True
        if reading.first_output is None and (len(held) > HELD_FRAMES or self._size > HELD_BYTES):
            return True
        if reading.finished:
            silence.hurry()  # its usage may still come, in seconds, not in its whole patience
        if reading.flaw:  # nor would it ever come to one that goes on for ever
            return not reading.finished
        return not reading.holds

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

    async def pour(self, into: Into) -> Failure | None:
        """Hand on what was held back, then each chunk's worth, until the answer is whole, or why it is not."""
        held, self._held = self._held, ()
        try:
            if (written := into(held)) is not None:
                await written
            if self._ended and self.reading.finished:  # it was whole when it was opened
                return None
            self.reading.flow()
            await self._flow(into)
        except Broken as broken:
            return broken.failure
        return self._lacking()

    async def _flow(self, into: Into) -> None:
        """Most of it is handed on where it comes in; this waits for the end, or for a client that is full."""
        reading, chunks, silence = self.reading, self._chunks, self._silence
        assert chunks is not None
        assert silence is not None
        pour: Pour = getattr(chunks, "pour", None) or partial(_poured, chunks)
        feed = self.reader.feed if self.turn.candidate.wire.stream else self._measured
        time = silence.time

        def take(data: bytes) -> Awaitable[None] | None:
            frames = feed(data)
            silence.heard_at = time()
            seen = reading.see([*frames])
            return into(seen) if reading.flows else self._slowly(seen, silence, into)

        while not self._ended:
            why = None
            try:
                written = await pour(take)
            except TransportError as error:
                written, why = None, error
            if written is None:
                written = self._slowly(reading.see([*self._end(why)]), silence, into)
            if written is not None:
                await written

    def _slowly(self, frames: Sequence[Frame], silence: Silence, into: Into) -> Awaitable[None] | None:
        """Hand on what may be written of frames that do not simply flow. Nothing is poured beyond a fault."""
        written = into(self._let_through(frames, silence))
        return _nothing() if written is None and self._ended else written

    def _lacking(self) -> Failure | None:
        """Why the answer is not whole."""
        if self.reading.fault:
            return self._fault(self.reading.fault)
        return None if self.reading.finished else TRUNCATED

    def _measured(self, data: bytes) -> Iterable[Frame]:
        """Their frames, of an answer that is limited as a whole."""
        self._size += len(data)
        if self._size > self.patience.max_answer:
            message = f"the answer is larger than {self.patience.max_answer} bytes"
            raise Broken(Failure(kind="malformed_chunk", scope="endpoint", message=message, by="answer"))
        return self.reader.feed(data)

    def _let_through(self, frames: Sequence[Frame], silence: Silence) -> Sequence[Frame]:
        """What may be written of these and of those before them, where they do not simply flow on."""
        reading, held = self.reading, self._held
        if held or reading.finished:
            silence.hurry()
        if reading.fault:
            self._ended = True  # what came before it is written first
        if not frames:
            return ()
        if reading.holds:
            self._held = [*held, *frames]
            return ()
        if held and reading.flaw:
            raise Broken(reading.flaw)
        self._held = ()
        return [*held, *frames]

    def _end(self, why: TransportError | None = None) -> Iterable[Frame]:
        """No more bytes: the last frames. After a finish it does not matter why."""
        if not self.reading.finished:
            if failure := self._silence and self._silence.expired:
                raise Broken(failure)
            if why:
                raise Broken(_of(why))
        self._ended = True
        return self.reader.end()

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
        turn, reply, reading = self.turn, self.reply, self.reading
        if self._silence:
            self._silence.end()
        if reply:
            reply.close()
        answered = self.sent and not (reply and reply.status >= 300)  # it was taken on, and may be billed
        usage, first = reading.usage, reading.first_output
        cost: float | None = 0.0
        if answered:
            cost = price(turn.endpoint.card.price, usage) if usage else turn.candidate.cost
        flaw = reading.flaw if failure is None else None
        ended, stream = self.clock(), turn.candidate.wire.stream
        self.line = Line(
            endpoint=turn.endpoint.id,
            account=turn.account.id,
            started=self.started,
            first_output=first,
            ended=ended,
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
        self.ticket.end(failure, ttft, self.tokens, stream=stream, flaw=flaw, weight=weight, now=ended)

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


async def _poured(chunks: AsyncIterator[bytes], take: Take) -> Awaitable[None] | None:
    """`Pours` for those who have it not."""
    async for chunk in chunks:
        if (wait := take(chunk)) is not None:
            return wait
    return None


async def _nothing() -> None:
    """What is waited for where there is nothing to wait for, but something to be looked at."""


def _of(error: TransportError) -> Failure:
    scope = "provider" if error.kind == "connect" else "endpoint"
    return Failure(kind=error.kind, scope=scope, message=str(error), by="transport")  # type: ignore[arg-type]


def _internal(error: Exception) -> Failure:
    return Failure(
        kind="internal", scope="endpoint", message=f"{type(error).__name__} in the provider", by="plugin"
    )
