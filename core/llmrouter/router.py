"""One router: a world, and all that outlives it. Two routers in one process never see each other."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import time
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from attrs import define

from .building import Builder, Context, StandIn
from .catalogue.joining import Joined
from .discovery import Discovery, ListFile, Told, told
from .engine import Engine, World
from .engine.health import Health
from .engine.journal import Journal
from .engine.memory import Memory
from .engine.memory_cache import MemoryCache
from .engine.memory_file import FileMemory
from .engine.probe_lock import probe_lock
from .engine.probes import Probes
from .engine.quota import Quota
from .engine.tally import OTHERS, Line, Tally
from .http import open_transport
from .logs import RequestLog
from .plugins import Plugins
from .protocols import AppType, ASGIApp, Clock, Control, MetricsSink, Page, Transport
from .settings import Settings
from .state import state_dir
from .types import ANY_MODEL, Endpoint, RequestRecord

CACHE_BYTES = 16 * 1024 * 1024
"""Of the cache that takes the place of one where the configuration has none."""
MEMORY_BYTES = 256 * 1024 * 1024
"""On disk, for signatures and stored responses."""


def steady_clock() -> Clock:
    """Seconds since the epoch, by the wall at the start and by a clock that never jumps from then on."""
    monotonic = time.monotonic
    offset = time.time() - monotonic()
    return lambda: offset + monotonic()


@define(eq=False, kw_only=True)
class Router:
    """Open it with `Router.open`; `world` is what requests are served with."""

    settings: Settings
    world: World
    engine: Engine
    clock: Clock
    started: float
    tally: Tally
    journal: Journal
    probes: Probes
    control: Control
    pages: Sequence[tuple[str, ASGIApp]] = ()

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        settings: Settings,
        plugins: Plugins,
        *,
        transport: Transport | None = None,
        clock: Clock | None = None,
        seed: int | None = None,
        state: Path | None = None,
        sinks: Sequence[MetricsSink] = (),
        stand_in: StandIn | None = None,
    ) -> AsyncIterator[Router]:
        """Build everything, and close everything when the block ends. Raises PluginError.

        `stand_in` gives what is called instead of each provider of the configuration; then nobody is asked for
        lists of models, or for what is left.
        """
        clock = clock or steady_clock()
        async with AsyncExitStack() as stack:
            if transport is None:
                transport = await stack.enter_async_context(
                    open_transport(connect=settings.engine.timeouts.connect, limit=None)
                )
            control = Switchboard()
            context = Context(
                name="llmrouter",
                transport=transport,
                clock=clock,
                random=random.Random(seed),
                logger=logging.getLogger("llmrouter"),
                state_dir=state or state_dir(os.environ),
                control=control,
                plugins=plugins,
            )
            router = await _assemble(settings, Builder(context, stack, stand_in), sinks)
            control.router = router
            stack.push_async_callback(router.engine.quota.aclose)
            works = {"quota": router.engine.quota.run()}
            if stand_in is None:
                discovery = router.discovery(context)
                await discovery.look()
                works |= {"models": discovery.run(), "probes": router.probes.run()}
            for name, work in works.items():
                await stack.enter_async_context(_beside(work, f"llmrouter {name}"))
            yield router

    def discovery(self, context: Context) -> Discovery:
        """What keeps the lists of models, and puts them into `world`."""

        def take(world: World) -> None:
            self.world = self.probes.world = world

        return Discovery(
            world=self.world,
            file=ListFile(context.state_dir),
            clock=context.clock,
            random=context.random,
            log=context.logger,
            take=take,
        )

    def ready(self) -> tuple[bool, Mapping[str, Any]]:
        """Whether requests can be served, and what stands in the way."""
        quota = self.engine.quota.state
        open_endpoints = [
            endpoint for endpoint in self.world.endpoints.values() if self.engine.health.look(endpoint).hold is None
        ]
        reasons = [] if open_endpoints else ["every endpoint is held"]
        if quota != "ok" and self.settings.quota.fail == "closed":
            reasons.append(f"quota store: {quota}")
        return not reasons, {
            "ready": not reasons,
            "reasons": reasons,
            "quota": {"store": self.settings.quota.plugin, "state": quota, "fail": self.settings.quota.fail},
            "revision": self.settings.revision,
        }


@define(eq=False)
class Switchboard:
    """The `Control` of a router: what the admin API and the pages of plugins may do with it."""

    router: Router | None = None

    def status(self) -> Mapping[str, Any]:
        router = self._router()
        tally, now = router.tally, router.clock()
        return {
            "revision": router.settings.revision,
            "source": router.settings.source,
            "uptime": now - router.started,
            "under_way": router.engine.under_way,
            "policy": router.world.ranking.name,
            **tally.snapshot(),
            "endpoints": [_endpoint(router, id) for id in _shown(router)],
            "holds": router.engine.health.snapshot(),
            "quota": {"state": router.engine.quota.state},
        }

    async def records(self, limit: int) -> Sequence[RequestRecord]:
        return await self._router().journal.recent(limit)

    def models(self) -> Told:
        world, health = self._router().world, self._router().engine.health

        def held(endpoint: Endpoint) -> str:
            hold = health.look(endpoint).hold
            return hold.reason if hold else ""

        joined = Joined(endpoints=world.endpoints, discovered=world.names.discovered, gone=world.names.gone)
        return told(joined, world.listings, held)

    def _router(self) -> Router:
        assert self.router is not None, "a plugin asked for the router while it was being built"
        return self.router


@asynccontextmanager
async def _beside(work: Coroutine[Any, Any, None], name: str) -> AsyncIterator[None]:
    """A task for as long as the block runs."""
    task = asyncio.create_task(work, name=name)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _assemble(settings: Settings, builder: Builder, extra: Sequence[MetricsSink]) -> Router:
    context, plugins, stack = builder.context, builder.context.plugins, builder.stack
    store = await builder.build(plugins.get("quota", settings.quota.plugin), settings.quota.config, "quota")
    cache = MemoryCache(CACHE_BYTES, context.clock)
    if settings.cache:
        cache = await builder.build(plugins.get("cache", settings.cache.plugin), settings.cache.config, "cache")
    world = await builder.world(settings)
    journal = await stack.enter_async_context(Journal(context.state_dir / "state.db"))
    memory = await stack.enter_async_context(
        FileMemory(context.state_dir / "memory.db", context.clock, MEMORY_BYTES)
    )
    tally = Tally()
    named = [await builder.named("metrics", one) for one in settings.metrics]
    lock = stack.enter_context(probe_lock(context.state_dir / "probes.lock"))
    health = Health(settings.breaker, context.clock, context.random, lock)
    quota = Quota(store, context.clock, settings.quota.fail)
    probes = Probes(world, health, quota, context.clock, context.random, context.logger)
    engine = Engine(
        health=health,
        quota=quota,
        cache=cache,
        memory=Memory(memory, context.logger),
        clock=context.clock,
        random=context.random,
        log=context.logger,
        sinks=[tally, journal, RequestLog(), probes, *named, *extra],
    )
    return Router(
        settings=settings,
        world=world,
        engine=engine,
        clock=context.clock,
        started=context.clock(),
        tally=tally,
        journal=journal,
        probes=probes,
        control=context.control,
        pages=[*await _apps(builder), *((page.path, page.app) for page in named if isinstance(page, Page))],
    )


async def _apps(builder: Builder) -> list[tuple[str, ASGIApp]]:
    types = [type_ for type_ in builder.context.plugins.always("app") if isinstance(type_, AppType)]
    return [(type_.path, await builder.build(type_, None, type_.name)) for type_ in types]


def _shown(router: Router) -> list[str]:
    """The endpoints of the configuration, and those of other models that were asked for."""
    listed = [id for id, endpoint in router.world.endpoints.items() if endpoint.model != ANY_MODEL]
    return [*listed, *(id for id in router.tally.lines if id not in (*router.world.endpoints, OTHERS))]


def _endpoint(router: Router, id: str) -> Mapping[str, Any]:
    endpoint = router.world.endpoint(id)
    seen, line = router.engine.health.look(endpoint), router.tally.lines.get(id) or Line()
    hold = seen.hold
    return {
        "endpoint": id,
        "provider": endpoint.provider,
        "model": endpoint.model,
        "state": hold.reason if hold else "ok",
        "until": hold.until if hold else None,
        "in_flight": seen.load,
        "first_output": seen.ttft or None,
        "headroom": router.engine.quota.headroom(router.world.limits.turns(endpoint)),
        "served": line.served,
        "failed": line.failed,
        "last_failure": line.last_failure or None,
        "tokens": line.tokens,
        "cost": line.cost,
    }
