"""The doors. Each is small; an optional ability is a protocol of its own, never one more method."""

from __future__ import annotations

import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, MutableMapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from attrs import field, frozen

from .types import (
    Allowance,
    Ask,
    Bucket,
    Call,
    Candidate,
    Encoded,
    Endpoint,
    Exhausted,
    Facts,
    Fields,
    Frame,
    Granted,
    Keep,
    Op,
    Payload,
    Ranked,
    Request,
    RequestRecord,
    Sighting,
    ToolCall,
    Trouble,
    Unit,
    Verdict,
)

Clock = Callable[[], float]
"""Seconds since the epoch, never running backwards. Tests hand in their own."""


# --- dialects


class Reader(Protocol):
    """Upstream bytes → frames; one per attempt. Any split of the bytes gives the same frames.

    What cannot be read is a `Fault` event, never an exception.
    """

    def feed(self, data: bytes) -> Iterable[Frame]: ...
    def end(self) -> Iterable[Frame]: ...


class Writer(Protocol):
    """Frames → client bytes; one per request, so that its ids and indexes outlive an attempt.

    `write` returns the frame's own bytes when `verbatim`, and the encoded events otherwise. A plain
    answer is returned by `end`. End marks are written here, and swallowed by readers.
    """

    def write(self, frame: Frame, verbatim: bool) -> bytes: ...
    def fail(self, trouble: Trouble) -> bytes: ...
    def end(self) -> bytes: ...


class Dialect(Protocol):
    """A wire format: pure, without I/O or clock, knowing nothing of any provider."""

    @property
    def name(self) -> str: ...
    @property
    def ops(self) -> frozenset[Op]: ...
    @property
    def expresses(self) -> frozenset[str]:
        """Which of `Facts.needs` can be said in it."""
        ...

    @property
    def paths(self) -> Mapping[str, Op]:
        """Paths that serve clients, such as {"/v1/chat/completions": "chat"}; empty for upstream-only ones."""
        ...

    def facts(self, op: Op, fields: Fields, headers: Mapping[str, str]) -> Facts:
        """What routing may know. Raises InvalidRequest for a body that no upstream should see."""
        ...

    def decode(self, op: Op, fields: Fields) -> Payload: ...
    def encode(self, op: Op, payload: Payload) -> Encoded: ...
    def aim(self, fields: Fields, model: str, stream: bool) -> Fields:
        """The fields with model and stream set: the last step before a provider."""
        ...

    def reader(self, op: Op, stream: bool) -> Reader: ...
    def writer(self, request: Request) -> Writer: ...
    def refuse(self, trouble: Trouble) -> bytes:
        """The body of an error that is an HTTP status."""
        ...


@runtime_checkable
class Refers(Protocol):
    """Optional for a client's dialect: its requests refer to earlier answers by name.

    `expand` puts in what was found, before anybody else looks at the body. Raises InvalidRequest where that is
    not enough.
    """

    def refers(self, fields: Fields) -> Sequence[str]: ...
    def expand(self, fields: Fields, found: Mapping[str, bytes]) -> Fields: ...


@runtime_checkable
class Remembers(Protocol):
    """Optional for an upstream's dialect: its vendors demand back what clients drop.

    Called for every request to an endpoint whose card `keeps` this dialect. `names` says what could be missing;
    `resolve` puts in what was found, a placeholder or nothing for what was not, and takes out what belongs to other
    vendors.
    """

    def names(self, fields: Fields) -> Sequence[str]: ...
    def resolve(self, fields: Fields, found: Mapping[str, bytes]) -> Fields: ...


@runtime_checkable
class Places(Protocol):
    """Optional for a client's dialect: paths that say something of the request, such as its model.

    `place` gives the operation and the fields that the path stands for (they join those of the body), None for
    a path that is not its own.
    """

    def place(self, path: str, query: str) -> tuple[Op, Fields] | None: ...


@runtime_checkable
class Keeps(Protocol):
    """Optional for a writer: its whole answer has a name; asked once, before `end`."""

    def keeps(self) -> Iterable[Keep]: ...


# --- the five doors


class Reply(Protocol):
    """An answer under way, plain or streamed.

    `close` returns at once, may be called at any time and more than once, and ends `chunks`; only the
    owner calls it. `headers` have lower-case names. `chunks` raises TransportError when the answer breaks off.
    A reply may have `dropped`: the names of fields that its vendor cannot be told.
    """

    @property
    def status(self) -> int: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    def chunks(self) -> AsyncIterator[bytes]: ...
    def close(self) -> None: ...


Take = Callable[[bytes], "Awaitable[None] | None"]
"""Is given bytes; what must be waited for before there may be more, if anything."""


class Pours(Protocol):
    """Optional for what `Reply.chunks` gives: to wake nobody for each of many chunks."""

    async def pour(self, take: Take) -> Awaitable[None] | None:
        """Give each chunk to `take`, where it comes in, until there is something to wait for, which is returned.

        None: there are no more. Raises TransportError, and what `take` raises.
        """


class Provider(Protocol):
    """Carries calls; never translates. Raises TransportError when the upstream cannot be reached.

    How long a `send` may take is watched by who calls it: it is cancelled after `Call.timeout`.
    """

    async def send(self, call: Call) -> Reply: ...
    def judge(self, status: int, headers: Mapping[str, str], body: bytes) -> Verdict:
        """Called for the head of every answer (body empty below 400) and for every error inside one."""
        ...


@runtime_checkable
class ReportsQuota(Protocol):
    """Optional for a provider: it can say what an account has left, without a call being made or billed.

    `Sighting.scope` is the kind of scope, as in a `Verdict`. Asked in the background, never for a request. Raises
    LLMRouterError with what was said instead.
    """

    async def quota(self, account: str) -> Allowance: ...


@runtime_checkable
class ListsModels(Protocol):
    """Optional for a provider: it can say which models an account may use.

    `models` gives endpoints with what the list says of them (`card`), nothing where its vendor has no list, and
    raises LLMRouterError with what was said instead of one. It is asked in the background, now and then.
    """

    async def models(self, account: str) -> Sequence[Endpoint]: ...


@runtime_checkable
class SupportsLogin(Protocol):
    """Optional for a provider: a person can let the router in, without copying a key.

    `login` gives the API key of a new account. `show` tells the person what to do; where `open_browser` is false
    nothing may be opened. Raises LLMRouterError when it did not come to a key. No account is needed for it.
    """

    async def login(self, show: Callable[[str], None], open_browser: bool) -> str: ...


class Policy(Protocol):
    """Pure and synchronous: the same arguments give the same order. `draw` is in [0, 1).

    It is asked once for each tier of peers. What it leaves out is rejected "by policy".
    """

    def rank(self, facts: Facts, candidates: Sequence[Candidate], draw: float) -> Sequence[Ranked]: ...


@runtime_checkable
class Learns(Protocol):
    """Optional for a policy or a provider: told how each request ended."""

    def observe(self, record: RequestRecord) -> None: ...


class Reservation(Protocol):
    """Quota taken before a call. `close` is synchronous and is called exactly once by whoever asked."""

    def close(self, spent: Mapping[Unit, float] | None) -> None:
        """Book what was spent, by unit, and give the rest back. None: unknown, the estimate stands."""
        ...


class QuotaStore(Protocol):
    """Grants slices of buckets, all or nothing, by its own clock. Off the hot path.

    A slice is the caller's for `Granted.ttl` seconds; what was not settled by then comes back by itself,
    also when the caller was cancelled or killed. `settle` books deltas: spent may be negative, when an
    estimate was too high, and goes past the limit when it was too low (a debt of the window). A `settle` that
    raises has booked nothing: it is told again.
    """

    async def grant(self, asks: Sequence[Ask]) -> Granted | Exhausted: ...
    async def settle(self, spent: Mapping[Bucket, float], unspent: Mapping[Bucket, float]) -> None: ...
    async def correct(self, sightings: Sequence[Sighting]) -> None: ...
    async def usage(self, buckets: Sequence[Bucket]) -> Mapping[Bucket, float]: ...


class Cache(Protocol):
    """Bytes in, bytes out. Keys are printable ASCII; `ttl` is in seconds."""

    async def get(self, key: str) -> bytes | None: ...
    async def set(self, key: str, value: bytes, ttl: float) -> None: ...
    async def clear(self, prefix: str) -> int: ...


class MetricsSink(Protocol):
    """Receives every finished request. May not block, may not raise into the request."""

    def record(self, record: RequestRecord) -> None: ...


class TokenCounter(Protocol):
    """Counts tokens of text. None: it knows no vocabulary for this model (or has not loaded it yet)."""

    def count(self, text: str, model: str) -> int | None: ...


class Repairs(Protocol):
    """Mends what a model meant to be JSON. Pure, and bounded: a long one is not looked at. None: it cannot."""

    def json(self, text: str) -> str | None:
        """The JSON value that a text was meant to be, as JSON: without fences, commas too many, words around it."""
        ...

    def calls(self, text: str, tools: Sequence[str]) -> Sequence[ToolCall] | None:
        """The calls that a model wrote as text instead of making them; only of tools of these names."""
        ...


# --- serving

ASGIScope = MutableMapping[str, Any]
ASGIReceive = Callable[[], Awaitable[MutableMapping[str, Any]]]
ASGISend = Callable[[MutableMapping[str, Any]], Awaitable[None]]
ASGIApp = Callable[[ASGIScope, ASGIReceive, ASGISend], Awaitable[None]]


@runtime_checkable
class Page(Protocol):
    """Optional for a metrics sink: an ASGI app, mounted at `path`."""

    @property
    def path(self) -> str: ...
    @property
    def app(self) -> ASGIApp: ...


class Client(Protocol):
    """Where an answer goes: a socket, or a recording. Both return what must be waited for, if anything."""

    def start(self, status: int, headers: Mapping[str, str]) -> Awaitable[None] | None: ...
    def write(self, data: bytes) -> Awaitable[None] | None: ...


class Control(Protocol):
    """What the admin API can do, and nothing else: handed to apps."""

    def status(self) -> Mapping[str, Any]: ...
    async def records(self, limit: int) -> Sequence[RequestRecord]: ...
    def models(self) -> Any:
        """Every model of every provider, and how old the providers' lists are: what `/admin/models` shows."""
        ...


# --- what a plugin hands over


class Transport(Protocol):
    """httpx's asynchronous transport interface; `llmrouter.provider` re-exports the types."""

    async def handle_async_request(self, request: Any) -> Any: ...


class BuildContext(Protocol):
    """What a plugin may use while it is built, and keep. Nothing else reaches into it."""

    @property
    def name(self) -> str:
        """The instance's name in the configuration."""
        ...

    @property
    def transport(self) -> Transport: ...
    @property
    def clock(self) -> Clock: ...
    @property
    def random(self) -> random.Random: ...
    @property
    def logger(self) -> logging.Logger: ...
    @property
    def state_dir(self) -> Path:
        """Where files may be kept between runs; exists, and belongs to this user alone."""
        ...

    @property
    def control(self) -> Control: ...
    def build(self, kind: str, settings: Mapping[str, Any]) -> Any:
        """A plugin inside a plugin: `kind` is "policy", "cache", …; `settings` has its `plugin` key."""
        ...


Built = Any
"""What `build` returns: the object itself, or an async context manager that gives it and is its lifespan."""


@frozen(kw_only=True)
class PluginType:
    """What every kind of plugin hands over. Heavy imports belong inside `build`.

    `config` is an attrs class, `schema` the JSON Schema of its keys (an object schema, from the plugin's own
    `schema.json`); the configuration is checked by the schema and structured into the class.
    """

    name: str
    config: type[Any]
    schema: Mapping[str, Any]
    build: Callable[[Any, BuildContext], Built | AbstractAsyncContextManager[Built]]


@frozen(kw_only=True)
class ProviderType(PluginType):
    """`config` extends `llmrouter.settings.ProviderSettings`."""

    endpoints: Callable[[Any], Sequence[Endpoint]]
    dialects: Sequence[Dialect] = ()
    """Wire formats of its own; empty for most."""
    limits: Mapping[str, Sequence[Mapping[str, Any]]] = field(factory=dict)
    """Presets of `limits` by the word that stands for them, written as in the configuration; its `schema` names
    the words."""
    suggest: Callable[[Mapping[str, str]], Mapping[str, Any]] = lambda environ: {}
    """Entries of `providers` for the keys found in the environment, for the start without a configuration."""
    demo: Mapping[str, Any] | None = None
    """A whole configuration that needs no account, used when nothing else is found."""


@frozen(kw_only=True)
class PolicyType(PluginType):
    pass


@frozen(kw_only=True)
class QuotaStoreType(PluginType):
    pass


@frozen(kw_only=True)
class CacheType(PluginType):
    pass


@frozen(kw_only=True)
class MetricsSinkType(PluginType):
    pass


@frozen(kw_only=True)
class TokenCounterType(PluginType):
    pass


@frozen(kw_only=True)
class RepairType(PluginType):
    pass


@frozen(kw_only=True)
class AppType(PluginType):
    """`build` makes an ASGI app, mounted at `path`."""

    path: str
