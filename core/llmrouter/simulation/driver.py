"""Plays a trace: clients of a real router, in virtual time."""

from __future__ import annotations

import asyncio
import gc
import random
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from attrs import define, evolve

from llmrouter.catalogue.names import Names
from llmrouter.config.report import Report as Findings
from llmrouter.config.report import did_you_mean
from llmrouter.engine import Engine, World
from llmrouter.engine.memory import Memory
from llmrouter.engine.memory_cache import MemoryCache
from llmrouter.errors import InvalidRequest
from llmrouter.plugins import Plugins
from llmrouter.protocols import MetricsSink, Places
from llmrouter.router import CACHE_BYTES, Router
from llmrouter.settings import CacheSettings, QuotaSettings, Settings
from llmrouter.testing import run
from llmrouter.testing.context import NoNetwork

from .clients import Asking, Caller, moments
from .ledger import Ledger
from .report import Report, report
from .trace import ANY, Trace
from .upstreams import Upstreams

DAY = 86_400.0
START = 1_000_000_000.0 - 1_000_000_000.0 % DAY
"""When it begins, in seconds since the epoch: at midnight, as days are counted."""

USUAL = "openai.chat"
"""What upstreams speak whose own dialect serves no clients."""
STEPS = 100
"""How often progress is told."""

Progress = Callable[[float], None]
"""Told now and then how much of the trace has been played, 0…1."""


def simulate(
    settings: Settings,
    plugins: Plugins,
    trace: Trace,
    seed: int = 0,
    *,
    sinks: Sequence[MetricsSink] = (),
    progress: Progress = lambda share: None,
) -> Report:
    """Play a trace with a configuration. Raises ConfigError for a trace that does not fit it.

    Nothing is asked, slept or kept: providers are stood in for, time is the loop's, state is in a folder that is
    gone afterwards, and stores that would reach beyond the process are the built-in ones.
    """
    with tempfile.TemporaryDirectory(prefix="llmrouter-simulate-") as folder, seldom_collected():
        return run(_play(_within(settings), plugins, trace, seed, sinks, progress, Path(folder)), START)


@contextmanager
def seldom_collected() -> Iterator[None]:
    """Requests leave no cycles behind, and what a configuration is made of need not be walked for each of them."""
    before = gc.get_threshold()
    gc.set_threshold(50_000, 20, 100)
    try:
        yield
    finally:
        gc.set_threshold(*before)


def _within(settings: Settings) -> Settings:
    """The configuration, with stores in memory and no metrics."""
    cache = settings.cache and CacheSettings(ttl=settings.cache.ttl, shared=settings.cache.shared)
    return evolve(settings, quota=QuotaSettings(fail=settings.quota.fail), cache=cache, metrics=())


def _spoken(world: World) -> World:
    """The world with upstreams that can be stood in for: a dialect that serves no client is only read here.

    Without a counter of tokens: one that is still loading counts differently every time.
    """
    own = {name for name, one in world.dialects.items() if not (one.paths or isinstance(one, Places))}
    endpoints = {
        id: evolve(one, dialects=tuple(dict.fromkeys(USUAL if name in own else name for name in one.dialects)))
        for id, one in world.endpoints.items()
    }
    said = world.settings
    names = Names(endpoints, said.groups, said.aliases, said.routing)
    return evolve(world, endpoints=endpoints, names=names, counter=None)


async def _play(
    settings: Settings,
    plugins: Plugins,
    trace: Trace,
    seed: int,
    sinks: Sequence[MetricsSink],
    progress: Progress,
    folder: Path,
) -> Report:
    loop, ledger = asyncio.get_running_loop(), Ledger()
    upstreams = Upstreams(trace, seed, START)
    opening = Router.open(
        settings,
        plugins,
        transport=NoNetwork(),
        clock=loop.time,
        seed=seed,
        state=folder,
        stand_in=lambda entry: upstreams,
    )
    async with opening as router:
        world = _spoken(router.world)
        _check(trace, world)
        upstreams.dialects = world.dialects
        upstreams.settle(world.providers)
        router.engine.sinks = [ledger, *sinks]
        router.engine.memory = Memory(MemoryCache(CACHE_BYTES, loop.time), router.engine.log)
        await Play(router.engine, world, trace, seed, ledger, progress).run()
    return report(seed, trace.duration / DAY, ledger, upstreams)


@define(eq=False)
class Play:
    """One trace under way."""

    engine: Engine
    world: World
    trace: Trace
    seed: int
    ledger: Ledger
    progress: Progress

    async def run(self) -> None:
        """Let every client come at its time, and wait for the last to leave."""
        time, told = asyncio.get_running_loop().time, 0
        kinds = [Asking.of(one, self.world.dialects[one.dialect]) for one in self.trace.requests]
        shares = [one.kind.share for one in kinds]
        draw = random.Random(f"{self.seed}/requests")
        async with asyncio.TaskGroup() as clients:
            for number, moment in enumerate(moments(self.trace.arrivals, self.trace.duration, self.seed)):
                await asyncio.sleep(START + moment - time())
                clients.create_task(self._ask(draw.choices(kinds, shares)[0], number))
                if (share := int(STEPS * moment / self.trace.duration)) > told:
                    told = share
                    self.progress(share / STEPS)
        self.progress(1.0)

    async def _ask(self, asking: Asking, number: int) -> None:
        loop = asyncio.get_running_loop()
        asked, started = asking.asked(number), loop.time()
        caller = Caller(asked, asking.dialect.reader("chat", asking.kind.stream), loop.time)
        try:
            async with asyncio.timeout(asking.kind.patience):
                await self.engine.serve(asking.request(asked, started), self.world, caller)
            caller.ended()
        except TimeoutError:
            pass  # it is `late` unless it is said otherwise
        self.ledger.ended(caller, started, loop.time())


def _check(trace: Trace, world: World) -> None:
    """Raises ConfigError for names that the configuration does not know."""
    found = Findings(trace.document)
    for place, kind in enumerate(trace.requests):
        where = ("requests", place)
        try:
            Asking.of(kind, world.dialects[kind.dialect])
        except (KeyError, InvalidRequest):
            found.error((*where, "dialect"), f"{kind.dialect} is no dialect of clients that have conversations")
        try:
            world.names.expand(kind.model)
        except InvalidRequest as error:
            found.error((*where, "model"), str(error))
    for name in trace.upstreams:
        if name != ANY and name.partition("/")[0] not in world.providers:
            known = did_you_mean(name, world.providers)
            found.error(("upstreams", name), f"is no provider of this configuration.{known}", key=True)
    found.check()
