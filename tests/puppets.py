"""Upstreams that a state machine moves step by step, and clients that remember what they were told."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import msgspec
from attrs import define, field

from llmrouter.errors import TransportError
from llmrouter.protocols import Reply
from llmrouter.types import Call, RequestRecord
from tests.house import Socket, Upstream, chunk, plain, streamed

WORDS = ("one", " two", " three")
TEXT = "".join(WORDS)
OTHER = "one zwei"
TEXTS = (TEXT, OTHER)
END = b"data: [DONE]\n\n"
CUT = TransportError("truncated", "cut")


@define(eq=False)
class Puppet:
    """One call: nothing happens to it but what it is told to do, by the methods named in `ACTS`."""

    call: Call = field(repr=False)
    tag: str  # of the request that made it
    status: int = 200
    headers: Mapping[str, str] = field(factory=dict)
    dropped: tuple[str, ...] = ()
    closed: int = 0
    failed: bool = False  # it never had headers
    said: int = 0
    _head: asyncio.Future[None] = field(init=False)
    _steps: deque[bytes | Exception | None] = field(factory=deque)
    _news: asyncio.Event = field(factory=asyncio.Event)

    def __attrs_post_init__(self) -> None:
        self._head = asyncio.get_running_loop().create_future()

    @property
    def live(self) -> bool:
        return not self.closed and not self.failed

    async def headed(self) -> Puppet:
        try:
            await self._head
        except BaseException:
            self.failed = True
            raise
        return self

    async def chunks(self) -> AsyncIterator[bytes]:
        while True:
            while not self._steps and not self.closed:
                self._news.clear()
                await self._news.wait()
            step = None if self.closed else self._steps.popleft()
            if step is None:
                return
            if isinstance(step, Exception):
                raise step
            yield step

    def close(self) -> None:
        self.closed += 1
        self._news.set()

    # ---- what it can be told to do

    def say(self) -> None:
        """The headers, and one more word where it streams."""
        if self.call.wire.stream and self.said < len(WORDS):
            self._give(chunk(WORDS[self.said]))
            self.said += 1
        else:
            self._give()

    def finish(self) -> None:
        self._answer(TEXT)

    def contradict(self) -> None:
        self._answer(OTHER if self.said < 2 else TEXT)

    def degrade(self) -> None:
        """An empty answer, unless something was said before."""
        self._answer(TEXT if self.said else "")

    def cut(self) -> None:
        self._give(CUT)

    def stop(self) -> None:
        """The end of its bytes, and no finish."""
        self._give(None)

    def fault(self) -> None:
        body = msgspec.json.encode({"error": {"message": "scripted"}})
        self._give(b"data: " + body + b"\n\n" if self.call.wire.stream else body)

    def reset(self) -> None:
        if self._head.done():
            return self.cut()
        return self._head.set_exception(TransportError("connect", "reset"))

    def refuse(self) -> None:
        self._refuse(500)

    def limit(self) -> None:
        self._refuse(429, {"retry-after": "2"})

    def reject(self) -> None:
        self._refuse(400)

    def _refuse(self, status: int, headers: Mapping[str, str] | None = None) -> None:
        if not self._head.done():
            self.status, self.headers = status, headers or {}
        self._give(msgspec.json.encode({"error": {"message": f"said {status}"}}), None)

    def _answer(self, text: str) -> None:
        if not self.call.wire.stream:
            return self._give(*plain(text), None)
        rest = text.removeprefix("".join(WORDS[: self.said]))
        return self._give(*(streamed(rest) if rest else [chunk(finish="stop"), END]), None)

    def _give(self, *steps: Any) -> None:
        if not self._head.done():
            self._head.set_result(None)
        self._steps += steps
        self._news.set()


GOOD = (Puppet.say, Puppet.say, Puppet.say, Puppet.finish, Puppet.finish)
BAD = (Puppet.contradict, Puppet.degrade, Puppet.cut, Puppet.cut, Puppet.stop, Puppet.fault, Puppet.reset)
REFUSING = (Puppet.refuse, Puppet.limit, Puppet.reject)
ACTS: tuple[Callable[[Puppet], None], ...] = GOOD + BAD + REFUSING
"""Some are named more often, so that most answers begin and many end."""


class Stage(Upstream):
    """Gives a puppet for each call; a request's `x-tag` says whose it is."""

    def __init__(self) -> None:
        super().__init__([])
        self.puppets: list[Puppet] = []

    async def send(self, call: Call) -> Reply:
        self.puppets.append(puppet := Puppet(call, call.headers["x-tag"]))
        return await puppet.headed()


@define(eq=False)
class Guest(Socket):
    """A client, and the record of its request."""

    tag: str = ""
    stream: bool = False
    over: bool = False
    task: asyncio.Task[None] = field(init=False)
    records: list[RequestRecord] = field(factory=list)

    async def start(self, status: int, headers: Mapping[str, str]) -> None:
        assert not self.over, "started after its end"
        await super().start(status, headers)

    async def write(self, data: bytes) -> None:
        assert not self.over, "written after its end"
        await super().write(data)

    def wrong(self, record: RequestRecord) -> str:
        """What is wrong with what it was told, going by what its record says of it."""
        flawed = any(getattr(step, "flaw", None) for step in record.steps)
        finishes = self.body.count(b'"finish_reason":"stop"')
        if record.outcome != "complete":
            whole = self.body.endswith(END) or (finishes and not self.stream)
            return "a broken answer looks whole" if whole and record.outcome != "cancelled" else ""
        if finishes != 1 or (self.stream and not self.body.endswith(END)):
            return "a complete answer has not one finish and one end"
        return (
            ""
            if self.text in TEXTS or flawed or record.shared
            else "a complete answer is not what an upstream said"
        )
