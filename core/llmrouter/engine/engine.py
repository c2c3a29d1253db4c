"""What every request of a router shares: health, quota, budget, memory, sinks."""

from __future__ import annotations

import logging
import random
from collections.abc import Coroutine, Sequence
from functools import partial
from typing import Any

import msgspec
from attrs import define, field

from llmrouter.catalogue.limits import scope
from llmrouter.catalogue.names import Expansion
from llmrouter.errors import InvalidRequest
from llmrouter.protocols import Cache, Client, Clock, MetricsSink
from llmrouter.recent import Recent
from llmrouter.routing import Look, decide
from llmrouter.types import Account, Decision, Endpoint, Facts, Request, RequestRecord, Sighting, Trouble, Usage

from . import headers, trouble
from .budget import Budgets
from .exchange import Exchange
from .flights import Flights
from .health import Health
from .memory import Memory
from .outlet import Outlet
from .queue import Queues
from .quota import Quota
from .replays import Replays
from .turns import Turn, order
from .world import World

GOLDEN = 0.6180339887498949
"""Steps of this size fill [0, 1) evenly: shares of traffic converge as 1/n, not as 1/√n."""
SESSIONS = 10_000
SHOWN = 200  # characters that are recorded of a name that is nothing


class Sessions:
    """Which endpoint serves a session: the most recent ones."""

    def __init__(self) -> None:
        self._kept: Recent[tuple[str, str], str] = Recent(SESSIONS)

    def get(self, facts: Facts) -> str:
        return self._kept.get((facts.client, facts.session)) or "" if facts.session else ""

    def put(self, facts: Facts, endpoint: str) -> None:
        if facts.session:
            self._kept.put((facts.client, facts.session), endpoint)


@define(eq=False, kw_only=True)
class Engine:
    """Serves requests. Outlives every configuration: what it keeps is keyed by ids."""

    health: Health
    quota: Quota
    cache: Cache
    memory: Memory
    clock: Clock
    random: random.Random
    log: logging.Logger
    sinks: Sequence[MetricsSink] = ()
    sessions: Sessions = field(factory=Sessions)
    replays: Replays = field(factory=Replays)
    flights: Flights = field(factory=Flights)
    budgets: Budgets = field(init=False)
    queues: Queues = field(init=False)
    under_way: int = 0
    pausing: int = 0  # of these, how many wait for something that is no limit of ours
    _draw: float = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._draw = self.random.random()
        self.budgets, self.queues = Budgets(self.clock), Queues(self.clock)

    def serve(self, request: Request, world: World, client: Client) -> Coroutine[Any, Any, None]:
        """Answer the client, whatever the upstreams do. Only a cancellation passes."""
        try:
            return Exchange(self, request, world, client).run()
        except InvalidRequest as error:
            return self._refuse(request, world, client, trouble.invalid(request.facts.id, error))

    async def _refuse(self, request: Request, world: World, client: Client, why: Trouble) -> None:
        """A request that no endpoint should see: told, and recorded."""
        now = self.clock()
        self.record(
            RequestRecord(
                facts=msgspec.structs.replace(request.facts, asked=request.facts.asked[:SHOWN]),
                decision=None,
                steps=(),
                outcome="refused",
                status=why.status,
                cache="bypass",
                usage=Usage(),
                cost=0.0,
                ended=now,
            ),
            world,
        )
        said = {"content-type": headers.JSON, "x-request-id": request.facts.id}
        await Outlet(client).refuse(why.status, said, world.dialects[request.facts.wire.dialect].refuse(why))

    async def preview(self, request: Request, world: World) -> Decision:
        """The decision that a request would get now: nothing is called or counted. May raise InvalidRequest."""
        return self.decide(request, world, world.expansion(request.facts))

    def decide(self, request: Request, world: World, expansion: Expansion) -> Decision:
        self._draw = (self._draw + GOLDEN) % 1.0
        facts, settings = request.facts, world.settings
        kept = self.sessions.get(facts) if facts.session and settings.routing.sticky.session else ""
        return decide(
            facts,
            expansion,
            dialects=world.dialects,
            look=partial(self._look, world, self.clock()),
            ranking=world.ranking_of(expansion),
            draw=self._draw,
            revision=settings.revision,
            kept=kept,
        )

    def _look(self, world: World, now: float, endpoint: Endpoint) -> Look:
        return self.health.look(endpoint, self.quota.headroom(world.limits.turns(endpoint), now))

    def accounts(self, endpoint: Endpoint, request: Request, world: World) -> Sequence[Account]:
        """The accounts of an endpoint in the order they are to be tried now."""
        if len(endpoint.accounts) == 1:
            return endpoint.accounts
        return order(
            endpoint.accounts,
            world.settings.providers[endpoint.provider].select,
            headroom=lambda account: self.quota.headroom([world.limits.turn(endpoint, account)]),
            used=lambda account: self.health.turns(endpoint, account),
            session=request.facts.session,
            draw=self.random,
        )

    def sight(self, turn: Turn, sightings: Sequence[Sighting]) -> None:
        """Hand on what an upstream said of its limits, under the names that we count them by."""
        endpoint, account = turn.endpoint, turn.account
        self.quota.sight(
            [msgspec.structs.replace(one, scope=scope(endpoint, account, one.scope)) for one in sightings]
        )

    def record(self, record: RequestRecord, world: World) -> None:
        """Tell every sink, and a policy that learns. None of them can hurt the request."""
        for sink in self.sinks:
            try:
                sink.record(record)
            except Exception:
                self.log.exception("the metrics sink %s failed", type(sink).__name__)
        if world.learner:
            world.learner.observe(record)

    # ---- memory ---------------------------------------------------------------------------------

    async def recall(self, key: str) -> bytes | None:
        try:
            return await self.cache.get(key)
        except Exception:
            self.log.exception("the cache failed to read; a miss")
            return None

    async def remember(self, key: str, value: bytes, ttl: float) -> None:
        try:
            await self.cache.set(key, value, ttl)
        except Exception:
            self.log.exception("the cache failed to write")

    async def store(self, key: str, value: bytes, world: World) -> None:
        settings = world.settings.cache
        if settings is not None:
            await self.remember(key, value, settings.ttl)
