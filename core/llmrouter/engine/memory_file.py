"""The store behind the memory: one SQLite file in the state directory, which every worker reads and writes."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from types import TracebackType

from llmrouter.protocols import Clock

PATIENCE = 2.0  # seconds to wait for another process that writes
TRIM_EVERY = 64  # writes
TABLE = "CREATE TABLE IF NOT EXISTS kept (key TEXT PRIMARY KEY, until REAL, value BLOB) WITHOUT ROWID"
INDEX = "CREATE INDEX IF NOT EXISTS kept_until ON kept (until)"
GET = "SELECT value FROM kept WHERE key = ? AND until > ?"
SET = "INSERT OR REPLACE INTO kept (key, until, value) VALUES (?, ?, ?)"
CLEAR = "DELETE FROM kept WHERE key >= ? AND key < ?"
EXPIRE = "DELETE FROM kept WHERE until <= ?"
SIZE = "SELECT (SELECT page_count FROM pragma_page_count) - (SELECT freelist_count FROM pragma_freelist_count)"
TRIM = "DELETE FROM kept WHERE key IN (SELECT key FROM kept ORDER BY until LIMIT max(1, (SELECT count(*) / 8 FROM kept)))"  # noqa: E501 - one statement


class FileMemory:
    """A `Cache` of which nothing is lost when a process ends; what ends first leaves first when it is full."""

    def __init__(self, path: Path, clock: Clock, max_bytes: int) -> None:
        self._path, self._clock, self._max_bytes = path, clock, max_bytes
        self._lock = threading.Lock()  # one user of the connection at a time
        self._database: sqlite3.Connection | None = None
        self._writes = 0

    async def __aenter__(self) -> FileMemory:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self._close)

    async def get(self, key: str) -> bytes | None:
        return await asyncio.to_thread(self._get, key)

    async def set(self, key: str, value: bytes, ttl: float) -> None:
        await asyncio.to_thread(self._set, key, value, ttl)

    async def clear(self, prefix: str) -> int:
        return await asyncio.to_thread(self._clear, prefix)

    # ---- in a thread

    def _get(self, key: str) -> bytes | None:
        with self._lock:
            row = self._open().execute(GET, (key, self._clock())).fetchone()
        return None if row is None else bytes(row[0])

    def _set(self, key: str, value: bytes, ttl: float) -> None:
        with self._lock, self._open() as database:
            database.execute(SET, (key, self._clock() + ttl, value))
            self._writes += 1
            if self._writes % TRIM_EVERY == 1:
                self._trim(database)

    def _clear(self, prefix: str) -> int:
        with self._lock, self._open() as database:
            return database.execute(CLEAR, (prefix, prefix + "\U0010ffff")).rowcount

    def _trim(self, database: sqlite3.Connection) -> None:
        database.execute(EXPIRE, (self._clock(),))
        (page,) = database.execute("PRAGMA page_size").fetchone()
        while database.execute(SIZE).fetchone()[0] * page > self._max_bytes:
            if not database.execute(TRIM).rowcount:
                return

    def _open(self) -> sqlite3.Connection:
        if self._database is None:
            os.close(os.open(self._path, os.O_CREAT | os.O_RDWR, 0o600))  # prompts stand in it: for this user alone
            database = sqlite3.connect(self._path, timeout=PATIENCE, check_same_thread=False)
            try:
                database.execute("PRAGMA journal_mode = WAL")
                database.execute("PRAGMA synchronous = NORMAL")
                with database:
                    database.execute(TABLE)
                    database.execute(INDEX)
            except BaseException:
                database.close()
                raise
            self._database = database
        return self._database

    def _close(self) -> None:
        with self._lock:
            database, self._database = self._database, None
            if database is not None:
                with closing(database):
                    database.execute("PRAGMA optimize")
