"""The cache itself: reads in the loop, writes in one thread.

Measured with 1 KB values: a read takes 6 µs where a hop to a thread takes 60, so reads stay in the loop; in WAL
mode no writer makes them wait. A write takes 70 µs and syncs now and then, and SQLite admits one writer, so writes
queue for one thread.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import struct
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from attrs import define, field
from diskcache import Cache, Timeout

from llmrouter.errors import PluginError
from llmrouter.protocols import Clock

from .guard import BytesDisk, Refused, claim

T = TypeVar("T")
UNTIL = struct.Struct("<d")
BUSY = 0.05
"""Seconds that a statement waits for another process: a lost write costs less than a waiting request."""
OPENINGS = 50
PAUSE = 0.1


@define(eq=False)
class DiskCache:
    """A cache in a folder; an async context manager. Errors of the disk are misses, and logged.

    Each value is stored behind the time it ends, on the router's clock. diskcache is told the same ttl,
    so that it sweeps out what nobody asks for again.
    """

    folder: Path
    max_bytes: int
    clock: Clock
    log: logging.Logger
    _cache: Cache = field(default=None, init=False)
    _writer: ThreadPoolExecutor = field(init=False)

    async def __aenter__(self) -> DiskCache:
        claim(self.folder)
        self._writer = ThreadPoolExecutor(1, "cache-disk")
        try:
            self._cache = await self._opened()
        except BaseException:
            self._writer.shutdown()
            raise
        self._read("")  # opens this thread's own connection, which takes a millisecond
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._in_writer(self._cache.close)
        self._writer.shutdown()
        self._cache.close()

    async def get(self, key: str) -> bytes | None:
        stored = self._read(key)
        if stored is None or UNTIL.unpack_from(stored)[0] <= self.clock():
            return None
        return stored[UNTIL.size :]

    async def set(self, key: str, value: bytes, ttl: float) -> None:
        stored = UNTIL.pack(self.clock() + ttl) + value
        try:
            await self._in_writer(lambda: self._cache.set(key, stored, expire=ttl))
        except (sqlite3.Error, Timeout, OSError) as error:
            self.log.warning("cache disk: an answer was not kept: %r", error)

    async def clear(self, prefix: str) -> int:
        return await self._in_writer(lambda: self._clear(prefix))

    def _read(self, key: str) -> bytes | None:
        try:
            found = self._cache.get(key)
        except (sqlite3.Error, OSError) as error:
            self.log.warning("cache disk: reading failed: %r", error)
        except Refused as error:
            self.log.warning("cache disk: a row in %s is not ours, and was refused: %s", self.folder, error)
        else:
            return found if found and len(found) >= UNTIL.size else None
        return None

    def _clear(self, prefix: str) -> int:
        if not prefix:
            return int(self._cache.clear(retry=True))
        found = [key for key in self._cache.iterkeys() if key.startswith(prefix)]
        with self._cache.transact(retry=True):
            return sum(self._cache.delete(key) for key in found)

    async def _opened(self) -> Cache:
        """The cache, opened in the writer. While another process writes, SQLite may refuse: asked again."""
        tries = 0
        while True:
            try:
                return await self._in_writer(self._open)
            except sqlite3.Error as error:
                tries += 1
                if tries == OPENINGS or "locked" not in str(error):
                    raise PluginError(
                        f"cache disk: {self.folder} cannot be opened: {error}. If no other process holds it, "
                        f"delete it, or set `cache.path` to another folder"
                    ) from error
            await asyncio.sleep(PAUSE)

    def _open(self) -> Cache:
        return Cache(
            str(self.folder),
            timeout=BUSY,
            disk=BytesDisk,
            size_limit=self.max_bytes,
            statistics=0,
            eviction_policy="least-recently-stored",  # a policy that looks at reads would write at every read
            sqlite_cache_size=1024,  # pages of 4 KB, for each thread's connection
        )

    async def _in_writer(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._writer, work)
