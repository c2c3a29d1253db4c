"""Every recorded exchange, played to an adapter and through a whole router over sockets."""

from __future__ import annotations

import asyncio
import json
import random
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec
from attrs import define, evolve, field, frozen

from llmrouter.testing.upstream import Received, Upstream
from llmrouter.testing.upstream_scripts import answer, cuts, replay
from llmrouter.types import Call, Endpoint, Event, Frame, Verdict, Wire
from tests.calling import TIMEOUT, Answer
from tests.harness import Serving, serving

from .families import OPENAI, Family
from .library import Exchange

HOP = ("content-length", "content-encoding", "transfer-encoding", "connection", "keep-alive")


@frozen
class Carried:
    """What an adapter made of an exchange."""

    received: Received
    status: int
    verdict: Verdict
    frames: Sequence[Frame]

    @property
    def events(self) -> list[Event]:
        return [event for frame in self.frames for event in frame.events]


@define(eq=False)
class Stage:
    """A router and the upstream behind it: every exchange has a provider entry of its own."""

    router: Serving
    upstream: Upstream
    names: Mapping[str, str] = field(repr=False)  # exchange → provider entry
    family: Family = OPENAI

    def serve(self, exchange: Exchange) -> tuple[Answer, bytes, Received | None]:
        """The exchange through the whole router: the answer, what was sent, and what reached the upstream."""
        self._prepare(exchange)
        name, path = f"{self.names[exchange.id]}/{exchange.model}", self.family.surfaces[exchange.endpoint].path
        placed = "{model}" in path
        sent = exchange.request if placed else _with_model(exchange.request, json.dumps(name).encode())
        got = self.router.post(path.replace("{model}", name), sent)
        return got, sent, self.upstream.requests[-1] if self.upstream.requests else None

    def carry(self, exchange: Exchange) -> Carried:
        """The exchange through the adapter and the reader of its dialect alone."""
        self._prepare(exchange)
        assert self.router.loop is not None
        work = asyncio.run_coroutine_threadsafe(self._carry(exchange), self.router.loop)
        status, verdict, frames = work.result(TIMEOUT)
        return Carried(self.upstream.requests[-1], status, verdict, frames)

    def models(self, exchange: Exchange) -> Sequence[Endpoint]:
        """The models that the adapter reads from a recorded list."""
        self._prepare(exchange)
        provider, endpoint = self._provider(exchange)
        assert self.router.loop is not None
        work = asyncio.run_coroutine_threadsafe(provider.models(endpoint.accounts[0].id), self.router.loop)
        found: Sequence[Endpoint] = work.result(TIMEOUT)
        return found

    def _prepare(self, exchange: Exchange) -> None:
        draw = random.Random(zlib.crc32(exchange.id.encode()))
        headers = {name: value for name, value in exchange.headers.items() if name not in HOP}
        headers.setdefault("content-type", "text/event-stream" if exchange.stream else "application/json")
        self.upstream.script = replay(exchange.status, headers, exchange.body, draw)
        self.upstream.clear()

    def _provider(self, exchange: Exchange) -> tuple[Any, Endpoint]:
        world = self.router.router.world
        name = self.names[exchange.id]
        endpoint = next(endpoint for endpoint in world.endpoints.values() if endpoint.provider == name)
        return world.providers[name], endpoint

    async def _carry(self, exchange: Exchange) -> tuple[int, Verdict, Sequence[Frame]]:
        provider, endpoint = self._provider(exchange)
        surface = self.family.surfaces[exchange.endpoint]
        dialect, op = self.router.router.world.dialects[surface.dialect], surface.op
        fields = msgspec.json.decode(exchange.request, type=dict[str, msgspec.Raw])
        wire = Wire(dialect.name, exchange.stream)
        aimed = dialect.aim(fields, exchange.model, exchange.stream)
        endpoint = evolve(endpoint, model=exchange.model)
        reply = await provider.send(
            Call(endpoint=endpoint, account=endpoint.accounts[0], op=op, wire=wire, fields=aimed)
        )
        try:
            chunks = [chunk async for chunk in reply.chunks()]
        finally:
            reply.close()
        body = b"".join(chunks)
        verdict = provider.judge(reply.status, reply.headers, body if reply.status >= 400 else b"")
        reader = dialect.reader(op, exchange.stream)
        pieces = cuts(body, random.Random(zlib.crc32(exchange.id.encode()) + 1), most=40)
        frames = [frame for piece in pieces for frame in reader.feed(piece)] + list(reader.end())
        return reply.status, verdict, frames


@contextmanager
def stage(exchanges: Sequence[Exchange], family: Family = OPENAI) -> Iterator[Stage]:
    """One router for many exchanges. Errors are kept apart, so that the hold of one refuses no other."""
    names = {exchange.id: _name(number, exchange) for number, exchange in enumerate(exchanges)}
    with Upstream(answer()) as upstream:
        providers = {names[exchange.id]: family.entry(exchange, upstream.base_url) for exchange in exchanges}
        config = {
            "providers": providers,
            "breaker": None,
            "engine": {"attempts": 1},
            "routing": {"sticky": {"session": False}},
            "logging": {"level": "error"},
        }
        with serving(json.dumps(config)) as router:
            yield Stage(router, upstream, names, family)


def _name(number: int, exchange: Exchange) -> str:
    return f"{exchange.provider}-{number}" if exchange.is_error else exchange.provider


def _with_model(body: bytes, model: bytes) -> bytes:
    """The body with another model in it, and where that is plain every other byte as it was."""
    fields = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    named = re.compile(rb'("model"\s*:\s*)' + re.escape(bytes(fields["model"])))
    if len(named.findall(body)) == 1:
        return named.sub(lambda found: found[1] + model, body)
    return msgspec.json.encode({**fields, "model": msgspec.Raw(model)})
