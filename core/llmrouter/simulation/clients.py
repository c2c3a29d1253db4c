"""Clients: when they come, what they ask, and what they make of the answer."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping
from typing import Literal

from attrs import define, field, frozen
from msgspec import Raw, json
from msgspec.structs import replace

from llmrouter.protocols import Clock, Dialect, Reader
from llmrouter.types import OUTPUT, Conversation, Facts, Fault, Fields, Finish, Frame, Message, Request, Text

from .script import LEAST_WORDS, TOKENS, Asked
from .trace import Arrivals, RequestKind

Outcome = Literal["answered", "refused", "broken", "late", "wrong"]
"""What a client says of its request. `broken`: it began and was not finished, or said nothing; `late`: the client
gave up; `wrong`: it was finished, and is not what was to be said."""

CLIENT = "simulated"
NUMBER = "#number#"
FILLER = "Words that a prompt is long by. "
BYTES = 4
HOUR, DAY = 3_600.0, 86_400.0


def moments(arrivals: Arrivals, duration: float, seed: int) -> Iterator[float]:
    """When requests come, in seconds since the beginning: no answer changes it."""
    draw = random.Random(f"{seed}/arrivals")
    regular, now = arrivals.process == "regular", 0.0
    wait = 1.0  # until the next one, in units of the mean time between two
    while now < duration:
        times, until = _busy(arrivals, now)
        coming = now + wait * arrivals.every / times
        if coming > until:  # what is left of the wait passes at another pace
            wait -= (until - now) * times / arrivals.every
            now = until
        else:
            now, wait = coming, 1.0 if regular else draw.expovariate(1.0)
            if now < duration:
                yield now


def _busy(arrivals: Arrivals, now: float) -> tuple[float, float]:
    """How many times as many come as on average, and until when that holds."""
    times, until = 1.0, math.inf
    if arrivals.daily:
        times = arrivals.daily[int(now % DAY // HOUR)] * len(arrivals.daily) / sum(arrivals.daily)
        until = (now // HOUR + 1) * HOUR
    for one in arrivals.bursts:
        begins = now // one.every * one.every
        if begins and now < begins + one.lasts:
            times, until = times * one.times, min(until, begins + one.lasts)
        else:
            until = min(until, begins + one.every)
    return times, until


@frozen
class Asking:
    """One kind of request, ready to be asked again and again under a new number."""

    kind: RequestKind
    dialect: Dialect
    fields: Fields
    facts: Facts  # numbers make no difference to them

    @classmethod
    def of(cls, kind: RequestKind, dialect: Dialect) -> Asking:
        """Raises InvalidRequest for a dialect that says no conversations."""
        filler = FILLER * (kind.input * BYTES // len(FILLER))
        said = Conversation(
            messages=(Message("user", (Text(f"{filler}{NUMBER}"),)),),
            options={"temperature": kind.temperature, "max_output": max(kind.output, 16)},
        )
        named = {"model": Raw(json.encode(kind.model)), "stream": Raw(json.encode(kind.stream))}
        fields = dialect.encode("chat", said).fields | named
        return cls(kind, dialect, fields, replace(dialect.facts("chat", fields, {}), client=CLIENT))

    def asked(self, number: int) -> Asked:
        kind = self.kind
        words = int(kind.lasts) if kind.lasts else kind.output // TOKENS
        fixed = kind.temperature == 0
        return Asked(number, max(LEAST_WORDS, words), kind.output, kind.lasts or 0.0, fixed)

    def request(self, asked: Asked, at: float) -> Request:
        old, new = NUMBER.encode(), asked.prompt.encode()
        fields = {name: Raw(bytes(value).replace(old, new)) for name, value in self.fields.items()}
        return Request(replace(self.facts, id=f"req_{asked.number}", at=at), fields)


@define(eq=False)
class Caller:
    """The `Client` of one request: it reads what it gets, as a program would."""

    asked: Asked
    reader: Reader
    clock: Clock
    status: int = 0
    first: float | None = None  # when it had the first output
    outcome: Outcome = "late"
    _unread: list[bytes] = field(factory=list)
    _text: list[str] = field(factory=list)
    _finished: bool = False
    _failed: bool = False

    async def start(self, status: int, headers: Mapping[str, str]) -> None:
        self.status = status

    async def write(self, data: bytes) -> None:
        self._unread.append(data)
        if self.first is None and self.status < 300:
            self._read()

    def ended(self) -> None:
        """The server has nothing more to say."""
        if self.status >= 300:
            self.outcome = "refused"
            return
        self._read()
        for frame in self.reader.end():
            self._see(frame)
        text = "".join(self._text)
        if self._failed or not self._finished or not text:
            self.outcome = "broken"
        else:
            self.outcome = "answered" if self.asked.is_answer(text) else "wrong"

    def _read(self) -> None:
        """All at once, where only the whole of it matters."""
        for frame in self.reader.feed(b"".join(self._unread)):
            self._see(frame)
        self._unread.clear()

    def _see(self, frame: Frame) -> None:
        for event in frame.events:
            if self.first is None and type(event) in OUTPUT:
                self.first = self.clock()
            if type(event) is Text:
                self._text.append(event.text)
            elif type(event) is Finish:
                self._finished = True
            elif type(event) is Fault:
                self._failed = True
