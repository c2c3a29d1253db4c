"""A router that is none, and a real server around it: what tests of the HTTP side need."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from attrs import define, evolve, field

from llmrouter.catalogue.offers import Offer
from llmrouter.errors import InvalidRequest
from llmrouter.protocols import ASGIApp, Client, Dialect
from llmrouter.server import App, create_app
from llmrouter.server.runner import Server, bind
from llmrouter.settings import ServerSettings, Settings
from llmrouter.types import (
    Attempt,
    Candidate,
    Card,
    Decision,
    Facts,
    Failure,
    Fields,
    Hold,
    Op,
    Ranked,
    Rejected,
    Request,
    RequestRecord,
    Skip,
    Trouble,
    Usage,
    Wire,
)

CHAT = "/v1/chat/completions"
HELLO = b'{"model": "fast", "messages": [{"role": "user", "content": "Hello"}]}'
STREAM = b'{"model": "fast", "stream": true, "messages": [{"role": "user", "content": "Hello"}]}'


class FakeDialect:
    """OpenAI's chat as far as a server cares."""

    name = "openai.chat"
    ops: frozenset[Op] = frozenset({"chat"})
    expresses: frozenset[str] = frozenset()
    paths: Mapping[str, Op] = {CHAT: "chat"}
    passes = ("x-kept",)

    def facts(self, op: Op, fields: Fields, headers: Mapping[str, str]) -> Facts:
        values = {name: msgspec.json.decode(value) for name, value in fields.items()}
        if not isinstance(values.get("model"), str):
            raise InvalidRequest("model must be a string", param="model", code="invalid_type")
        if values["model"] == "bug":
            raise KeyError("a slip of the dialect")
        dry = {"dry-run": headers["x-llmrouter-dry-run"]} if "x-llmrouter-dry-run" in headers else {}
        wire = Wire(self.name, bool(values.get("stream")))
        return Facts(op=op, wire=wire, asked=values["model"], hints=dry)

    def refuse(self, trouble: Trouble) -> bytes:
        said = {"message": trouble.message, "code": trouble.code, "param": trouble.param, "by": trouble.request_id}
        return msgspec.json.encode({"error": said})

    def writer(self, request: Request) -> FakeWriter:
        return FakeWriter()


class FakeWriter:
    def fail(self, trouble: Trouble) -> bytes:
        return b"data: " + msgspec.json.encode({"error": {"code": trouble.code}}) + b"\n\n"


@define
class FakeWorld:
    dialects: Mapping[str, Any] = field(factory=lambda: {"openai.chat": FakeDialect()})
    listed: Sequence[Offer] = (
        Offer(id="fast", owner="llmrouter", card=Card()),
        Offer(id="auto", owner="llmrouter", card=Card()),
        Offer(id="p/m", owner="p", card=Card()),
    )

    def offers(self) -> Sequence[Offer]:
        return self.listed


Serve = Callable[[Request, Client], Awaitable[None]]


async def done(wait: Awaitable[None] | None) -> None:
    """Wait for a client that was written to, where it must be waited for."""
    if wait is not None:
        await wait


async def hello(request: Request, client: Client) -> None:
    """One whole answer, of either shape."""
    await done(client.start(200, {"content-type": "application/json"}))
    await done(client.write(b'{"said": "hello"}'))


class FakeMemory:
    async def find(self, client: str, names: Sequence[str]) -> Mapping[str, bytes]:
        return {}

    async def forget(self, client: str, name: str) -> bool:
        return False


@define(eq=False)
class FakeEngine:
    answer: Serve = hello
    memory: FakeMemory = field(factory=FakeMemory)
    requests: list[Request] = field(factory=list)
    cancelled: int = 0
    ended: asyncio.Event = field(factory=asyncio.Event)

    async def serve(self, request: Request, world: Any, client: Client) -> None:
        self.requests.append(request)
        try:
            await self.answer(request, client)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.ended.set()

    async def preview(self, request: Request, world: Any) -> Decision:
        if request.facts.asked == "nothing":
            raise InvalidRequest("no such model", param="model", code="model_not_found", status=404)
        return Decision(facts=request.facts, plan=(), rejected=(), policy="order", draw=0.5)


def record(id: str = "req_1", **more: Any) -> RequestRecord:
    facts = Facts(id=id, at=1_000.0, client="dev", wire=Wire("openai.chat", False), asked="fast")
    usual: dict[str, Any] = {
        "outcome": "complete",
        "status": 200,
        "cache": "bypass",
        "usage": Usage(),
        "cost": 0.0,
    }
    return RequestRecord(facts=facts, decision=None, steps=(), **usual | more)


FACTS = Facts(
    id="req_1", at=1000.25, client="dev", op="chat", wire=Wire("openai.chat", True), asked="fast",
    hints={"task": "code"}, needs=frozenset({"tools", "vision"}), input_tokens=12, max_output=99,
    session="s", in_tool_loop=True, signals={"hard": 0.5, "language": "de"}, replayable=True,
)  # fmt: skip
HELD = Candidate(
    endpoint="p/m", provider="p", model="m", wire=Wire("openai.chat", False), cost=None,
    hold=Hold(2000.5, "breaker", "p/m"),
)  # fmt: skip
FULL = RequestRecord(
    facts=FACTS,
    decision=Decision(
        facts=FACTS, plan=(Ranked(HELD, 0.9, {"cost": 0.1}),), rejected=(Rejected("q/n", "ability", "no tools"),),
        policy="cost", draw=0.123456789, reason="cost", revision="r1",
    ),
    steps=(
        Skip(endpoint="p/m", account="a", reason="limit", until=1001.0),
        Attempt(
            endpoint="p/m", account="b", started=1000.5, first_output=None, ended=1001.0, usage=Usage(), cost=None,
            failure=Failure(kind="rate_limited", scope="account_model", status=429, retry_at=1030.0, param="x"),
        ),
        Attempt(
            endpoint="q/m", account="c", started=1001.0, first_output=1001.5, ended=1003.0, failure=None,
            usage=Usage(input=1, cache_read=2, cache_write=3, output=4, reasoning=5, cost=0.1), cost=0.1,
        ),
    ),
    outcome="complete", status=200, cache="miss", usage=Usage(input=1, cost=0.1), cost=None, dropped=("user",),
    first_output=1001.5, ended=1003.0,
)  # fmt: skip


class FakeControl:
    def status(self) -> Mapping[str, Any]:
        return {"requests": 7}

    async def records(self, limit: int) -> Sequence[RequestRecord]:
        return [record(f"req_{number}") for number in range(min(limit, 3))]

    def models(self) -> Mapping[str, Any]:
        return {"models": [], "providers": []}


@define(eq=False)
class FakeRouter:
    settings: Settings = field(factory=Settings)
    world: Any = field(factory=FakeWorld)
    engine: FakeEngine = field(factory=FakeEngine)
    pages: Sequence[tuple[str, ASGIApp]] = ()
    control: FakeControl = field(factory=FakeControl)
    fine: bool = True

    def clock(self) -> float:
        return 1_000_000_000.0

    def ready(self) -> tuple[bool, Mapping[str, Any]]:
        return self.fine, {"reasons": [] if self.fine else ["every endpoint is held"]}


def router_with(answer: Serve = hello, **server: Any) -> FakeRouter:
    settings = evolve(Settings(), server=ServerSettings(**server))
    return FakeRouter(settings=settings, engine=FakeEngine(answer))


@define
class Got:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@define(eq=False)
class Site:
    """A server under test. `call` speaks HTTP by hand, so that a test sees every byte."""

    port: int
    router: FakeRouter
    app: App
    server: Server

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def call(self, method: str, path: str, body: bytes = b"", **headers: str) -> Got:
        reader, writer = await self.open()
        writer.write(head(method, path, body, **headers) + body)
        try:
            return await read_answer(reader)
        finally:
            writer.close()

    async def post(self, body: bytes = HELLO, path: str = CHAT, **headers: str) -> Got:
        return await self.call("POST", path, body, **headers)

    async def get(self, path: str, **headers: str) -> Got:
        return await self.call("GET", path, b"", **headers)


def head(method: str, path: str, body: bytes = b"", **headers: str) -> bytes:
    """`x_api_key="k"` is the header x-api-key; a name given here replaces the usual one."""
    usual = {"host": "127.0.0.1", "connection": "close"} | ({"content-length": str(len(body))} if body else {})
    said = usual | {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in said.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


async def read_answer(reader: asyncio.StreamReader) -> Got:
    status, headers = await read_head(reader)
    return Got(status, headers, await read_rest(reader, headers))


async def read_head(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    pairs = (line.partition(": ") for line in lines[1:] if line)
    return int(lines[0].split()[1]), {name.lower(): value for name, _, value in pairs}


async def read_rest(reader: asyncio.StreamReader, headers: Mapping[str, str]) -> bytes:
    if "content-length" in headers:
        return await reader.readexactly(int(headers["content-length"]))
    body = b""
    while chunk := await read_chunk(reader):
        body += chunk
    return body


async def read_chunk(reader: asyncio.StreamReader) -> bytes:
    size = int(await reader.readuntil(b"\r\n"), 16)
    return (await reader.readexactly(size + 2))[:-2]


@asynccontextmanager
async def site(router: FakeRouter | None = None) -> AsyncIterator[Site]:
    """A server on a loopback port, ended with the block."""
    router = router or FakeRouter()
    app, ready = create_app(router), asyncio.Event()
    listener = bind("127.0.0.1", 0)
    server = Server(app, router.settings.server, ready.set)
    running = asyncio.create_task(server.run_on(listener))
    await ready.wait()
    try:
        yield Site(listener.getsockname()[1], router, app, server)
    finally:
        server.should_exit = True
        await running


def dialect() -> Dialect:
    found: Any = FakeDialect()
    return found  # type: ignore[no-any-return]
