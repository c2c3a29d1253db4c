"""The background task of a router: looks at the file, asks who is due, and hands on what is found."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Sequence

from attrs import define, evolve, field

from llmrouter.catalogue.joining import fitting, join
from llmrouter.catalogue.lists import Listings, due
from llmrouter.catalogue.names import Names
from llmrouter.engine import World
from llmrouter.protocols import Clock

from .asking import Asked, ask_all, can_list, known
from .file import ListFile, Stamp

LOOK = 5.0  # seconds between two looks at the file: another worker, or the command line, may have written it
LONGEST_LOOK = 300.0  # after failures of our own, such as a full disk
TOGETHER = 1.0  # seconds within which answers join the world at once: each joining costs it what it remembers
SPREAD = 0.1  # of the pace: routers that were started together do not ask together


@define(eq=False, kw_only=True)
class Discovery:
    """Keeps the lists of a world's providers. `world` is what the configuration alone says."""

    world: World
    file: ListFile
    clock: Clock
    random: random.Random
    log: logging.Logger
    take: Callable[[World], None]
    _listings: Listings = field(factory=dict, init=False)
    _stamp: Stamp | None = field(default=None, init=False)
    _pace: float = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._pace = self.random.uniform(1 - SPREAD, 1 + SPREAD)

    async def run(self) -> None:
        wait = LOOK
        while True:
            try:
                await self.look()
                await self.refresh()
                wait = LOOK
            except Exception:
                wait = min(wait * 2, LONGEST_LOOK)
                self.log.exception("the lists of models could not be kept; again in %g s", wait)
            await asyncio.sleep(wait)

    async def look(self) -> None:
        """Take what the file says, if it was written since the last look."""
        stamp = self.file.stamp()
        if stamp != self._stamp:
            self._listings = await asyncio.to_thread(self.file.read)
            self._stamp = stamp
            self.take(joined(self.world, self._listings))

    async def refresh(self) -> None:
        """Ask the providers that are due, unless another process does so."""
        if not self._due():
            return
        with self.file.alone() as mine:
            if not mine:
                return
            await self.look()  # whoever was alone before has asked some
            world = self.world
            asking = ask_all(self._due(), world.providers, world.settings.providers, self._listings, self.clock)
            taken = self.clock()
            async for asked in asking:
                self._tell(asked)
                listings = {**self._listings, asked.provider: asked.after}
                await asyncio.to_thread(self.file.write, listings)
                self._listings = listings
                if self.clock() - taken >= TOGETHER:
                    taken = self.clock()
                    await self.look()
            await self.look()

    def _due(self) -> Sequence[str]:
        refresh, entries = self.world.settings.catalogue.refresh, self.world.settings.providers
        if refresh is None:
            return []
        now = self.clock()
        names = can_list(self.world.providers)
        return [name for name in names if due(known(entries[name], self._listings), refresh * self._pace, now)]

    def _tell(self, asked: Asked) -> None:
        """A failure is told once, not at every try."""
        if asked.after.failures == 1:
            self.log.warning("the models of %s could not be listed: %s", asked.provider, asked.after.problem)
        elif not asked.after.failures:
            self.log.info("%s lists %d models", asked.provider, len(asked.after.current))


def joined(world: World, listings: Listings) -> World:
    """The world of a configuration, with what its providers list."""
    settings = world.settings
    ours = fitting(listings, settings.providers)
    all_ = join(world.endpoints, settings.providers, ours)
    names = Names(all_.endpoints, settings.groups, settings.aliases, settings.routing, all_.discovered, all_.gone)
    return evolve(world, endpoints=all_.endpoints, names=names, listings=ours)
