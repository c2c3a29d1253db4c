"""One upstream call and everything it holds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from llmrouter.catalogue.prices import cost
from llmrouter.errors import TransportError
from llmrouter.protocols import Clock, Provider, Reader, Reply, Reservation
from llmrouter.types import OUTPUT, Begin, Call, Failure, Fault, Finish, Frame, Kind, Sighting, Spent, Unit, Usage
from llmrouter.types import Attempt as Line

from .turns import Turn

HELD_FRAMES = 64
HELD_BYTES = 256 * 1024
"""What may be held back until the first output: enough for every vendor's preamble."""
ERROR_BODY = 64 * 1024
AFTER_FINISH = 2.0
"""Seconds that usage and end mark may take once an answer is whole."""
NOTHING = Usage()

TRUNCATED = Failure(kind="truncated", scope="endpoint", message="the answer ended before it was finished")


class Broken(Exception):
    """The upstream failed while its answer was being read."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.kind)
        self.failure = failure


class Charge(Protocol):
    """A turn as health sees it: in flight until `end`."""

    def end(self, failure: Failure | None, ttft: float | None) -> None: ...


class Patience(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """How long an attempt may be silent, in seconds; `deadline` is on the loop's clock."""

    headers: float
    ttft: float
    idle: float
    deadline: float
    max_answer: int  # bytes of one plain answer


class Attempt:
    """Owns one reply, one reservation and one place in flight. `finish` ends all three, once, without waiting."""

    # What most attempts never set is a default of the class, so that beginning one is cheap.
    sent = False
    reply: Reply | None = None
    usage: Usage | None = None
    first_output: float | None = None
    sightings: tuple[Sighting, ...] = ()
    line: Line | None = None
    finished = False  # a Finish was seen
    via = ""
    _held: Sequence[Frame] = ()
    _chunks: AsyncIterator[bytes]
    _size = 0
    _ended = False  # the upstream has no more bytes
    _broken: Failure | None = None  # to be raised once what came before it was taken
    _sending: asyncio.Task[Any] | None = None  # who waits for the headers
    _sent_at = _heard_at = 0.0
    _expired: Failure | None = None
    _loop: asyncio.AbstractEventLoop
    _watch: asyncio.TimerHandle | None = None
    _watch_at = 0.0

    def __init__(
        self,
        *,
        turn: Turn,
        provider: Provider,
        reader: Reader,
        reservation: Reservation,
        charge: Charge,
        patience: Patience,
        clock: Clock,
        started: float,
    ) -> None:
        self.turn, self.provider, self.reader = turn, provider, reader
        self.reservation, self.charge = reservation, charge
        self.patience, self.clock, self.started = patience, clock, started

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
            return Failure(kind="internal", scope="endpoint", message=f"{type(error).__name__} in the provider")

    async def _begun(self) -> Failure | None:
        """The headers are there."""
        reply = self.reply
        assert reply is not None
        if reply.status >= 300:
            return await self._refused(reply)
        verdict = self.provider.judge(reply.status, reply.headers, b"")
        self.sightings = verdict.sightings
        if verdict.failure:
            return verdict.failure
        self._chunks = aiter(reply.chunks())
        return await self._hold_back()

    async def _sent(self, call: Call) -> Failure | None:
        """Wait for the headers. The one timer of an attempt ends this wait, too."""
        self._loop = asyncio.get_running_loop()
        task = self._sending = asyncio.current_task(self._loop)
        assert task is not None
        self._sent_at, self.sent = self._loop.time(), True
        self._wake_at(self._sent_at + min(self.patience.headers, self.patience.idle))  # so that it fits both waits
        try:
            self.reply = await self.provider.send(call)
        except asyncio.CancelledError:
            if self._expired and task.uncancel() == 0:
                return self._expired
            raise
        finally:
            self._sending = None
        self._heard_at = self._loop.time()
        self._hurry()
        return None

    async def _refused(self, reply: Reply) -> Failure:
        body = b""
        async for chunk in reply.chunks():
            body += chunk
            if len(body) > ERROR_BODY:
                break
        verdict = self.provider.judge(reply.status, reply.headers, body)
        self.sightings = verdict.sightings
        return verdict.failure or Failure(
            kind="server_error",
            scope="endpoint",
            status=reply.status,
            message=f"an answer with status {reply.status}",
        )

    async def _hold_back(self) -> Failure | None:
        held: list[Frame] = []
        size = 0
        while not (self._ended or self.first_output or self.finished or self._broken):
            if frames := await self._next():
                held += frames
                size += sum([len(frame.raw) for frame in frames])
                if len(held) > HELD_FRAMES or size > HELD_BYTES:
                    break
        self._held = held
        if self._broken and not self.first_output:
            return self._broken
        return TRUNCATED if self._ended and not self.finished else None

    # ---- the answer -----------------------------------------------------------------------------

    async def more(self) -> Sequence[Frame] | None:
        """The next frames: what was held back, then a chunk's worth. None: the answer is whole. Raises Broken."""
        if held := self._held:
            self._held = ()
            return held
        while not self._ended:
            if self._broken:
                raise Broken(self._broken)
            if frames := await self._next():
                return frames
        if not self.finished:
            raise Broken(TRUNCATED)
        return None

    async def _next(self) -> Sequence[Frame]:
        try:
            chunk = await anext(self._chunks)
        except StopAsyncIteration:
            return self._end(None)
        except TransportError as error:
            return self._end(error)
        self._heard_at = self._loop.time()
        self._size += len(chunk)
        if self._size > self.patience.max_answer and not self.turn.candidate.wire.stream:
            message = f"the answer is larger than {self.patience.max_answer} bytes"
            raise Broken(Failure(kind="malformed_chunk", scope="endpoint", message=message))
        frames = self.reader.feed(chunk)
        return self._see([*frames]) if frames else ()

    def _end(self, error: TransportError | None) -> Sequence[Frame]:
        """No more bytes. After a finish it does not matter why."""
        if not self.finished and (self._expired or error):
            raise Broken(self._expired or (_of(error) if error else TRUNCATED))
        self._ended = True
        return self._see(list(self.reader.end()))

    def _see(self, frames: list[Frame]) -> Sequence[Frame]:
        """Note what the frames mean. What came before a fault is still the client's."""
        for place, frame in enumerate(frames):
            for event in frame.events:
                if type(event) in OUTPUT:  # `isinstance` asks the metaclass of a struct, and that takes its time
                    if self.first_output is None:
                        self.first_output = self.clock()
                elif type(event) is Spent:
                    self.usage = event.usage
                elif type(event) is Finish:
                    self._finish_seen()
                elif type(event) is Begin:
                    self.via = event.via
                elif type(event) is Fault:
                    self._broken, self._ended = self._fault(event), False
                    return frames[:place]
        return frames

    def _finish_seen(self) -> None:
        """The answer is whole: from here on the upstream is given seconds, not its whole patience."""
        if not self.finished:
            self.finished = True
            if not self._ended:
                self._hurry()

    def _fault(self, fault: Fault) -> Failure:
        if fault.malformed:
            message = f"not an answer of {self.turn.candidate.wire.dialect}"
            return Failure(kind="malformed_chunk", scope="endpoint", message=message)
        assert self.reply is not None
        verdict = self.provider.judge(self.reply.status, self.reply.headers, fault.body)
        return verdict.failure or Failure(
            kind="server_error", scope="endpoint", status=self.reply.status, message="an error inside an answer"
        )

    # ---- silence --------------------------------------------------------------------------------

    def _wake_at(self, at: float) -> None:
        self._watch_at, self._watch = at, self._loop.call_at(at, self._wake)

    def _hurry(self) -> None:
        """Something is due sooner now: set the timer anew, unless it comes in time as it is."""
        due, _ = self._due()
        if self._watch and due < self._watch_at:
            self._watch.cancel()
            self._wake_at(due)

    def _wake(self) -> None:
        """One timer watches all silences: when it comes too early, it only sets itself again."""
        due, kind = self._due()
        if self._loop.time() < due:
            return self._wake_at(due)
        waited = due - self._sent_at
        message = f"no answer within {waited:.1f} s" if self._sending else f"silent for {waited:.1f} s"
        self._expired = Failure(kind=kind, scope="endpoint", message=message)
        if self._sending:
            self._sending.cancel()
        elif self.reply:
            self.reply.close()
        return None

    def _due(self) -> tuple[float, Kind]:
        patience = self.patience
        if self._sending:
            return self._sent_at + patience.headers, "timeout_headers"
        due = self._heard_at + (AFTER_FINISH if self.finished else patience.idle)
        kind: Kind = "stall"
        if self.first_output is None and self._sent_at + patience.ttft < due:
            due, kind = self._sent_at + patience.ttft, "timeout_ttft"
        return (patience.deadline, "stall") if patience.deadline < due else (due, kind)

    # ---- the way out ----------------------------------------------------------------------------

    def finish(self, failure: Failure | None) -> None:
        """The only way out, from every state. The first call counts; later ones do nothing."""
        if self.line is not None:
            return
        if self._watch:
            self._watch.cancel()
        if self.reply:
            self.reply.close()
        cost, first = self._cost(), self.first_output
        self.line = Line(
            endpoint=self.turn.endpoint.id,
            account=self.turn.account.id,
            started=self.started,
            first_output=first,
            ended=self.clock(),
            failure=failure,
            usage=self.usage or NOTHING,
            cost=cost,
            via=self.via,
        )
        self.reservation.close(self._spent(cost))
        self.charge.end(failure, None if first is None else first - self.started)

    def _answered(self) -> bool:
        """Whether the upstream took the call on, so that it may be billed."""
        return self.sent and not (self.reply and self.reply.status >= 300)

    def _cost(self) -> float | None:
        if not self._answered():
            return 0.0
        return cost(self.turn.endpoint.card.price, self.usage) if self.usage else None

    def _spent(self, cost: float | None) -> Mapping[Unit, float] | None:
        """Nothing if it was never sent or was refused; None, so the estimate, where nothing was reported."""
        if not self._answered():
            return {"requests": 1.0} if self.sent else {}
        if self.usage is None:
            return None
        usage = self.usage
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
    return Failure(kind=error.kind, scope=scope, message=str(error))  # type: ignore[arg-type]
