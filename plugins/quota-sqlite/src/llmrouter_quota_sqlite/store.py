"""The store as the router sees it: every call is one transaction, in one thread that owns the connection."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

from attrs import define, field

from llmrouter.protocols import Clock
from llmrouter.types import Ask, Bucket, Exhausted, Granted, Sighting

from .database import opened
from .tables import Tables

T = TypeVar("T")


@define(eq=False)
class SqliteQuota:
    """A quota store in a file; an async context manager, and one worker among those that share the file.

    A call that is cancelled may still be carried out; a slice that it got ends by itself.
    """

    path: Path
    clock: Clock
    worker: str = field(factory=lambda: uuid4().hex)
    _thread: ThreadPoolExecutor = field(init=False)
    _tables: Tables = field(init=False)

    async def __aenter__(self) -> SqliteQuota:
        self._thread = ThreadPoolExecutor(1, "quota-sqlite")
        now = self.clock()
        try:
            self._tables = await self._call(lambda: Tables(opened(self.path), self.worker, now))
        except BaseException:
            self._thread.shutdown()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._call(self._tables.close)
        self._thread.shutdown()

    async def grant(self, asks: Sequence[Ask]) -> Granted | Exhausted:
        now = self.clock()
        return await self._call(lambda: self._tables.grant(asks, now))

    async def settle(self, spent: Mapping[Bucket, float], unspent: Mapping[Bucket, float]) -> None:
        now = self.clock()
        await self._call(lambda: self._tables.settle(spent, unspent, now))

    async def correct(self, sightings: Sequence[Sighting]) -> None:
        now = self.clock()
        await self._call(lambda: self._tables.correct(sightings, now))

    async def usage(self, buckets: Sequence[Bucket]) -> Mapping[Bucket, float]:
        now = self.clock()
        return await self._call(lambda: self._tables.usage(buckets, now))

    async def _call(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)
