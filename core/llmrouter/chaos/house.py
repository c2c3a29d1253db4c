"""A real router and a real server around it, on loopback, for as long as a block lasts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from attrs import define, field, frozen

from llmrouter.http.loopback import open_loopback
from llmrouter.plugins import Plugins
from llmrouter.router import Router
from llmrouter.server import create_app
from llmrouter.server.runner import Server, bind
from llmrouter.settings import Settings
from llmrouter.types import Attempt, RequestRecord

LAST = 0.02
TRIES = 50
"""How often, and after how many seconds, a record is looked for that is written when its client has everything."""


@define(eq=False)
class Records:
    """A metrics sink that keeps the calls of every request, by its id, and the providers that failed."""

    kept: dict[str, tuple[Attempt, ...]] = field(factory=dict)
    failed: set[str] = field(factory=set)

    def record(self, record: RequestRecord) -> None:
        attempts = [step for step in record.steps if isinstance(step, Attempt)]
        self.kept[record.facts.id] = tuple(attempts)
        self.failed.update(one.endpoint.partition("/")[0] for one in attempts if one.failure)

    async def attempts(self, id: str) -> tuple[Attempt, ...]:
        """The calls that were made for a request."""
        for _ in range(TRIES if id else 0):
            if id in self.kept:
                return self.kept[id]
            await asyncio.sleep(LAST)
        return ()


@frozen
class House:
    """A router that serves on `port`."""

    port: int
    router: Router
    records: Records


@asynccontextmanager
async def house(settings: Settings, plugins: Plugins, state: Path, seed: int) -> AsyncIterator[House]:
    """Serve these settings; nothing outside of this machine can be reached. Raises PluginError."""
    records, ready = Records(), asyncio.Event()
    async with (
        open_loopback(settings.engine.timeouts.connect) as transport,
        Router.open(settings, plugins, transport=transport, state=state, sinks=[records], seed=seed) as router,
    ):
        with bind("127.0.0.1", 0) as listener:
            server = Server(create_app(router), settings.server, ready.set, signals=False)
            running = asyncio.create_task(server.serve([listener]))
            await ready.wait()
            try:
                yield House(listener.getsockname()[1], router, records)
            finally:
                server.should_exit = True
                await running
