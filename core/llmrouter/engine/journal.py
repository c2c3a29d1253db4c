"""The last requests, kept in `state.db`: what `log` and `status` show, also when no router runs.

Recording puts a record into a bounded row; a thread writes what has gathered, once a second, in one
transaction. Several processes may share the file.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Iterable
from contextlib import closing, suppress
from pathlib import Path
from types import TracebackType

import msgspec

from llmrouter.types import RequestRecord

EVERY = 1.0  # seconds between two writes
BUSY = 5.0  # the same while so much comes that each write would soon be trimmed away
PATIENCE = 2.0  # seconds to wait for another process that writes
PAGE = 16_384  # bytes, of a new file: six records each, written in half the time that pages of 4 KB take
VERSION = 1  # of the table, in `user_version`
PARTS = ("", "-wal", "-shm")
TABLE = "CREATE TABLE requests (number INTEGER PRIMARY KEY AUTOINCREMENT, ended REAL, record BLOB)"
INSERT = "INSERT INTO requests (ended, record) VALUES (?, ?)"
TRIM = "DELETE FROM requests WHERE number <= (SELECT max(number) FROM requests) - ?"
LATEST = "SELECT record FROM requests ORDER BY ended DESC, number DESC LIMIT ?"

log = logging.getLogger("llmrouter.journal")

_decoder = msgspec.json.Decoder(RequestRecord)


class Journal:
    """A `MetricsSink`. When more than `keep` requests end between two writes, the oldest are not written."""

    def __init__(self, path: Path, keep: int = 1000) -> None:
        self.dropped = 0
        self._path = path
        self._keep = keep
        self._waiting: deque[RequestRecord] = deque(maxlen=keep)
        self._lock = threading.Lock()  # one user of the connection at a time
        self._database: sqlite3.Connection | None = None
        self._broken = ""  # what was logged last, so that a full disk is not told every second
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._write_on, name="llmrouter journal", daemon=True)

    async def __aenter__(self) -> Journal:
        await asyncio.to_thread(self._open)
        self._thread.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        await asyncio.to_thread(self._thread.join)

    def record(self, record: RequestRecord) -> None:
        if len(self._waiting) == self._keep:
            self.dropped += 1
        self._waiting.append(record)

    async def recent(self, limit: int) -> list[RequestRecord]:
        """The latest requests of all processes that share the file, newest first."""
        return await asyncio.to_thread(self._read, limit)

    # ---- in a thread

    def _open(self) -> None:
        with self._lock:
            self._connect()

    def _connect(self) -> None:
        """A file that is not ours, damaged or of another version makes way for a new one."""
        try:
            self._database = _connected(self._path)
            self._broken = ""
        except sqlite3.Error as error:
            self._failed(error)

    def _write_on(self) -> None:
        wait = EVERY
        while not self._closing.wait(wait):
            wait = BUSY if len(self._waiting) == self._keep else EVERY
            with self._lock:
                self._flush()
        with self._lock:
            self._flush()
            if self._database is not None:
                self._database.close()
                self._database = None

    def _flush(self) -> None:
        """Write what has gathered. Called with the lock."""
        batch = [self._waiting.popleft() for _ in range(len(self._waiting))]
        if not batch:
            return
        if self._database is None:
            self._connect()
        try:
            self._insert(batch)
        except sqlite3.Error as error:
            self.dropped += len(batch)
            self._failed(error)

    def _insert(self, batch: Iterable[RequestRecord]) -> None:
        if self._database is None:
            raise sqlite3.OperationalError(self._broken)
        rows = [(record.ended, msgspec.json.encode(record)) for record in batch]
        with self._database as transaction:
            transaction.executemany(INSERT, rows)
            transaction.execute(TRIM, (self._keep,))
        self._broken = ""

    def _read(self, limit: int) -> list[RequestRecord]:
        with self._lock:
            self._flush()
            if self._database is None:
                return []
            try:
                return _decoded(self._database.execute(LATEST, (limit,)).fetchall())
            except sqlite3.Error as error:
                self._failed(error)
                return []

    def _failed(self, error: sqlite3.Error) -> None:
        """Busy, read-only or full will pass, and the next write tries again; a damaged file is of no use."""
        if type(error) is sqlite3.DatabaseError:
            self._move_aside(error)
        elif str(error) != self._broken:
            self._broken = str(error)
            log.warning("requests are not kept in %s: %s", self._path, error)

    def _move_aside(self, error: sqlite3.Error) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None
        aside = self._path.with_name(f"{self._path.name}.unreadable-{int(time.time())}")
        log.warning("%s cannot be used (%s): moved to %s", self._path, error, aside.name)
        for part in PARTS:
            with suppress(FileNotFoundError):  # another process was quicker
                self._path.with_name(self._path.name + part).rename(aside.with_name(aside.name + part))
        with suppress(sqlite3.Error):
            self._database = _connected(self._path)


def read(path: Path, limit: int) -> list[RequestRecord]:
    """What a journal holds, newest first; empty when there is none. For a router that does not run."""
    if not path.exists():
        return []
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=PATIENCE)) as database:
            return _decoded(database.execute(LATEST, (limit,)).fetchall())
    except sqlite3.Error as error:
        log.warning("%s cannot be read: %s", path, error)
        return []


def _connected(path: Path) -> sqlite3.Connection:
    """Raises sqlite3.DatabaseError for a file that is none of ours."""
    with suppress(OSError):
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    database = sqlite3.connect(path, timeout=PATIENCE, check_same_thread=False)
    try:
        _version(database)
        database.execute(f"PRAGMA page_size = {PAGE}")
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
        with database:
            database.execute("BEGIN IMMEDIATE")
            _prepare(database)
    except sqlite3.Error:
        database.close()
        raise
    return database


def _prepare(database: sqlite3.Connection) -> None:
    if _version(database) == 0:
        database.execute(TABLE)
        database.execute("CREATE INDEX ended ON requests (ended)")
        database.execute(f"PRAGMA user_version = {VERSION}")


def _version(database: sqlite3.Connection) -> int:
    """0 for an empty file. Raises sqlite3.DatabaseError for what is no journal of ours."""
    version: int = database.execute("PRAGMA user_version").fetchone()[0]
    tables: int = database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if version != (VERSION if tables else 0):
        raise sqlite3.DatabaseError(f"it is not a journal of version {VERSION}")
    return version


def _decoded(rows: Iterable[tuple[bytes]]) -> list[RequestRecord]:
    """Records that an older llmrouter wrote in another shape are passed over."""
    found = []
    for (row,) in rows:
        with suppress(msgspec.MsgspecError):
            found.append(_decoder.decode(row))
    return found
