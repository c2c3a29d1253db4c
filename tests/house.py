"""A router's engine in memory: scripted upstreams, a socket that remembers, everything else real."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

import msgspec
from attrs import define, evolve, field
from msgspec.structs import replace

from llmrouter import dialects
from llmrouter.catalogue.limits import Limits
from llmrouter.catalogue.names import Names
from llmrouter.dialects.common import parse
from llmrouter.engine import Engine, World
from llmrouter.engine.health import Health
from llmrouter.engine.memory import Memory
from llmrouter.engine.memory_cache import MemoryCache
from llmrouter.engine.memory_quota import MemoryQuota
from llmrouter.engine.quota import Quota
from llmrouter.protocols import Policy, QuotaStore, Reply
from llmrouter.routing import ASKED, CONFIGURED, Ranking
from llmrouter.settings import (
    CacheSettings,
    ClientKeySettings,
    EngineSettings,
    GroupSettings,
    Member,
    ProviderSettings,
    RoutingSettings,
    Settings,
)
from llmrouter.types import (
    ANY_MODEL,
    Account,
    Attempt,
    Call,
    Card,
    Endpoint,
    Failure,
    Kind,
    Request,
    RequestRecord,
    Skip,
    Verdict,
)

KINDS: Mapping[int, tuple[Kind, str]] = {
    400: ("invalid_request", "request"),
    401: ("auth", "account"),
    402: ("payment", "account"),
    404: ("not_found", "endpoint"),
    413: ("context_length", "request"),
    429: ("rate_limited", "account_model"),
    503: ("overloaded", "endpoint"),
}
Step = bytes | float | Exception


def chunk(text: str = "", finish: str | None = None, **more: Any) -> bytes:
    delta = {"content": text} if text else {}
    body = {
        "id": "chatcmpl-up",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
        **more,
    }
    return b"data: " + msgspec.json.encode(body) + b"\n\n"


def streamed(*texts: str) -> list[Step]:
    usage = {"prompt_tokens": 10, "completion_tokens": len(texts), "total_tokens": 10 + len(texts)}
    return [*(chunk(text) for text in texts), chunk(finish="stop", usage=usage), b"data: [DONE]\n\n"]


def plain(text: str = "hello", finish: str = "stop") -> list[Step]:
    body = {
        "id": "chatcmpl-up",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
    }
    return [msgspec.json.encode(body)]


@define(eq=False)
class Answer:
    """A scripted reply: bytes are sent, a number is a pause in seconds, an exception a break."""

    script: Sequence[Step]
    status: int = 200
    headers: Mapping[str, str] = field(factory=dict)
    wait: float | None = None  # seconds before the headers
    dropped: tuple[str, ...] = ()
    closed: int = 0

    async def chunks(self) -> AsyncIterator[bytes]:
        for step in self.script:
            if self.closed:
                return
            if isinstance(step, bytes):
                yield step
            elif isinstance(step, float):
                await self._pause(step)
            else:
                raise step

    async def _pause(self, seconds: float) -> None:
        """A closed reply ends at once, as a socket's does."""
        end = asyncio.get_running_loop().time() + seconds
        while not self.closed and asyncio.get_running_loop().time() < end:
            await asyncio.sleep(min(0.05, seconds) if seconds else 0)

    def close(self) -> None:
        self.closed += 1


def error(status: int, **headers: str) -> Answer:
    return Answer([msgspec.json.encode({"error": {"message": f"upstream said {status}"}})], status, headers)


@define(eq=False)
class Upstream:
    """A provider that gives its answers in turn, the last one for ever."""

    answers: Sequence[Answer | Exception | Callable[[], Answer]]
    calls: list[Call] = field(factory=list)
    sent: list[Answer] = field(factory=list)
    clock: Callable[[], float] = lambda: asyncio.get_running_loop().time()

    async def send(self, call: Call) -> Reply:
        self.calls.append(call)
        answer = self.answers[min(len(self.calls), len(self.answers)) - 1]
        if isinstance(answer, Exception):
            raise answer
        reply = answer() if callable(answer) else evolve(answer)
        if reply.wait is not None:
            await asyncio.sleep(reply.wait)
        self.sent.append(reply)
        return reply

    def judge(self, status: int, headers: Mapping[str, str], body: bytes) -> Verdict:
        if status < 400 and not body:
            return Verdict(None)
        kind, scope = KINDS.get(status, ("server_error", "endpoint"))
        hint = headers.get("retry-after")
        retry_at = self.clock() + float(hint) if hint else None
        return Verdict(Failure(kind=kind, scope=scope, status=status, message=f"said {status}", retry_at=retry_at))  # type: ignore[arg-type]


@define(eq=False)
class Socket:
    """What the client saw."""

    status: int = 0
    headers: Mapping[str, str] = field(factory=dict)
    body: bytes = b""
    writes: int = 0

    async def start(self, status: int, headers: Mapping[str, str]) -> None:
        assert not self.status, "started twice"
        self.status, self.headers = status, headers

    async def write(self, data: bytes) -> None:
        assert self.status, "written before it started"
        self.body += data
        self.writes += 1

    @property
    def text(self) -> str:
        """The text of the answer, of either shape."""
        if self.body.startswith(b"{"):
            return str(msgspec.json.decode(self.body)["choices"][0]["message"]["content"])
        events = [part[6:] for part in self.body.split(b"\n\n") if part.startswith(b"data: {")]
        choices = [choice for event in events for choice in msgspec.json.decode(event).get("choices", ())]
        return "".join(choice["delta"].get("content") or "" for choice in choices)

    @property
    def error(self) -> Any:
        return msgspec.json.decode(self.body)["error"]


@define(eq=False)
class Records:
    all: list[RequestRecord] = field(factory=list)

    def record(self, record: RequestRecord) -> None:
        self.all.append(record)


def endpoint(id: str, *accounts: Account, card: Card = Card(), dialect: str = "openai.chat") -> Endpoint:  # noqa: B008
    provider, _, model = id.partition("/")
    own = accounts or (Account(provider, provider),)
    return Endpoint(provider=provider, model=model, dialects=(dialect,), accounts=own, card=card)


class House:
    """`group` "all" has every endpoint, in tiers as given: House({"a/m": Upstream(…)}, tiers=[["a/m"]])."""

    def __init__(
        self,
        upstreams: Mapping[str, Upstream],
        *,
        tiers: Sequence[Sequence[str]] | None = None,
        endpoints: Sequence[Endpoint] = (),
        settings: EngineSettings = EngineSettings(),  # noqa: B008 (frozen)
        cache: CacheSettings | None = None,
        store: QuotaStore | None = None,
        policy: Policy = CONFIGURED,
        providers: Mapping[str, ProviderSettings] | None = None,
        keys: Sequence[ClientKeySettings] = (),
        seed: int = 7,
    ) -> None:
        clock = asyncio.get_running_loop().time
        known = {one.id: one for one in endpoints} or {id: endpoint(id) for id in upstreams}
        self.upstreams = {id.partition("/")[0]: upstream for id, upstream in upstreams.items()}
        group = tuple(tuple(Member(id) for id in tier) for tier in (tiers or [list(known)]))
        entries = {name: ProviderSettings(name=name, plugin="fake") for name in self.upstreams}
        self.settings = Settings(
            revision="test",
            providers=entries | dict(providers or {}),
            groups={"all": GroupSettings(tiers=group)},
            routing=RoutingSettings(default="all"),
            engine=settings,
            cache=cache,
        )
        self.records = Records()
        rng = random.Random(seed)
        self.engine = Engine(
            health=Health(self.settings.breaker, clock, rng),
            quota=Quota(store or MemoryQuota(clock), clock, "open"),
            cache=MemoryCache(1 << 20, clock),
            memory=Memory(MemoryCache(1 << 20, clock), logging.getLogger("llmrouter.tests")),
            clock=clock,
            random=rng,
            log=logging.getLogger("llmrouter.tests"),
            sinks=[self.records],
        )
        self.world = World(
            settings=self.settings,
            names=Names(known, self.settings.groups, {}, self.settings.routing),
            endpoints=known,
            providers=self.upstreams,
            dialects={dialect.name: dialect for dialect in dialects.builtin()},
            limits=Limits(self.settings.providers, {key.name: key for key in keys}),
            ranking=Ranking(name="test", policy=policy),
            group_rankings={},
            order_rankings={name: Ranking(name=name, policy=one) for name, one in ASKED.items()},
        )

    def request(self, headers: Mapping[str, str] | None = None, client: str = "dev", **body: Any) -> Request:
        whole = {"model": "all", "messages": [{"role": "user", "content": "hi"}], **body}
        fields = parse(msgspec.json.encode(whole))
        dialect = self.world.dialects["openai.chat"]
        facts = dialect.facts("chat", fields, headers or {})
        return Request(replace(facts, id="req_1", at=self.engine.clock(), client=client), fields)

    async def ask(self, socket: Any = None, headers: Mapping[str, str] | None = None, **body: Any) -> Socket:
        socket = socket or Socket()
        await self.engine.serve(self.request(headers, **body), self.world, socket)
        return socket  # type: ignore[no-any-return]

    @property
    def record(self) -> RequestRecord:
        """Of the last request."""
        return self.records.all[-1]

    @property
    def cache(self) -> str:
        """What the cache did for the last request."""
        return self.record.cache

    @property
    def kinds(self) -> list[str | None]:
        """What became of each step of the last request: a failure class, None for the one that served."""
        steps = self.record.steps
        return [
            one.reason if isinstance(one, Skip) else (one.failure.kind if one.failure else None) for one in steps
        ]

    @property
    def served(self) -> str:
        return next(
            (one.endpoint for one in self.record.steps if isinstance(one, Attempt) and one.failure is None), ""
        )

    def assert_nothing_is_left(self) -> None:
        for name, upstream in self.upstreams.items():
            assert all(answer.closed for answer in upstream.sent), f"a reply of {name} is left open"
        for id in self.world.endpoints:
            assert self.engine.health.look(self.world.endpoint(id)).load == 0, f"{id} still has something in flight"


__all__ = [
    "ANY_MODEL",
    "Answer",
    "House",
    "Records",
    "Socket",
    "Upstream",
    "chunk",
    "endpoint",
    "error",
    "plain",
    "streamed",
]
