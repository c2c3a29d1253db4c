"""Opening the file: private, in WAL mode, of a version that we know."""

from __future__ import annotations

import os
import sqlite3
import time
from pathlib import Path

from llmrouter.errors import PluginError

VERSION = 1
BUSY = 0.25
"""Seconds that a call waits for another process that writes."""
OPENING = 10.0
PAUSE = 0.02

SCHEMA = """
CREATE TABLE books (
    id INTEGER PRIMARY KEY,
    scope TEXT NOT NULL, unit TEXT NOT NULL, window TEXT NOT NULL,
    declared REAL NOT NULL,  -- the limit of the configuration
    used REAL NOT NULL,      -- in the window that ends at `ends`
    ends REAL NOT NULL,
    stated REAL,             -- the limit as the provider states it
    UNIQUE (scope, unit, window)
);
CREATE TABLE leases (book INTEGER NOT NULL, worker TEXT NOT NULL, ends REAL NOT NULL, amount REAL NOT NULL);
CREATE INDEX leases_of ON leases (book, ends);
CREATE INDEX leases_ending ON leases (ends);
CREATE TABLE places (   -- what a worker has under a `concurrent` limit, until it falls silent
    book INTEGER NOT NULL, worker TEXT NOT NULL, amount REAL NOT NULL, ends REAL NOT NULL,
    PRIMARY KEY (book, worker)
) WITHOUT ROWID;
"""


def opened(path: Path) -> sqlite3.Connection:
    """The database, made if it is not there. Raises PluginError that says what to do."""
    until = time.monotonic() + OPENING
    while True:
        try:
            _claim(path)
            return _connect(path)
        except (OSError, sqlite3.Error) as error:
            if not _busy(error) or time.monotonic() >= until:
                why = error.strerror if isinstance(error, OSError) else error
                raise PluginError(f"quota sqlite: {path} cannot be used: {why}. Set `quota.path`") from error
        time.sleep(PAUSE)  # another worker is making it


def _busy(error: Exception) -> bool:
    return isinstance(error, sqlite3.OperationalError) and "locked" in str(error)


def _claim(path: Path) -> None:
    """Make the file, or close it to others; SQLite gives its side files the same mode."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        os.fchmod(descriptor, 0o600)
    finally:
        os.close(descriptor)


def _connect(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, timeout=BUSY, isolation_level=None)
    try:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")  # a crash of the machine may cost the last second
        database.execute("BEGIN IMMEDIATE")
        _migrate(database, path)
        database.execute("COMMIT")
    except BaseException:
        database.close()
        raise
    return database


def _migrate(database: sqlite3.Connection, path: Path) -> None:
    [version] = database.execute("PRAGMA user_version").fetchone()
    if version > VERSION:
        raise PluginError(
            f"quota sqlite: {path} was written by a newer version of this plugin (schema {version}, this one "
            f"knows {VERSION}). Upgrade llmrouter-quota-sqlite, or set `quota.path` to another file"
        )
    if version < 1:
        for statement in SCHEMA.split(";"):
            database.execute(statement)
        database.execute(f"PRAGMA user_version = {VERSION}")
