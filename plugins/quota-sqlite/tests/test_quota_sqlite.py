"""The SQLite quota store: the contract of every store, several processes, and a file in trouble."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import llmrouter_quota_sqlite
import pytest
from llmrouter_quota_sqlite import database
from llmrouter_quota_sqlite.database import VERSION
from llmrouter_quota_sqlite.store import SqliteQuota

from llmrouter.engine.quota import Quota
from llmrouter.errors import PluginError
from llmrouter.protocols import Clock, QuotaStoreType
from llmrouter.testing import run
from llmrouter.testing.quota import QuotaStoreContract
from llmrouter.types import Ask, Bucket, Exhausted, Granted

SIX = Bucket("group:a", "requests", 6, "36500d")
PLACES = Bucket("client:b", "concurrent", 50, "")
START = 1_000_000_000.0


def descriptor() -> QuotaStoreType:
    [found] = llmrouter_quota_sqlite.llmrouter_register_quota_stores()
    return found


class TestSqliteQuota(QuotaStoreContract):
    shared = True
    persistent = True

    def make(self, folder: Path, clock: Clock) -> SqliteQuota:
        return SqliteQuota(folder / "quota.db", clock)

    def descriptor(self) -> QuotaStoreType:
        return descriptor()


def with_store(path: Path, body: Callable[[SqliteQuota], Awaitable[None]], clock: Clock = lambda: START) -> None:
    async def main() -> None:
        async with SqliteQuota(path, clock) as store:
            await body(store)

    run(main())


async def nothing(store: SqliteQuota) -> None:
    pass


# --- processes


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start a worker process; it is ended with the test."""
    started: list[subprocess.Popen[str]] = []

    def start(path: Path, limit: int, asks: int, then: str = "leave") -> subprocess.Popen[str]:
        command = [
            sys.executable,
            str(Path(__file__).with_name("worker.py")),
            str(path),
            str(limit),
            str(asks),
            then,
        ]
        started.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    return process.stdout.readline().strip()


def go(process: subprocess.Popen[str]) -> None:
    assert process.stdin
    process.stdin.write("go\n")
    process.stdin.flush()


def admitted(processes: list[subprocess.Popen[str]]) -> list[int]:
    for process in processes:
        assert line(process) == "ready"
    for process in processes:
        go(process)
    said = [line(process).split(maxsplit=1) for process in processes]
    assert {state for _, state in said} == {"ok"}
    return [int(many) for many, _ in said]


@pytest.mark.parametrize(("limit", "asks"), [(6, 30), (500, 400)])
def test_processes_admit_as_many_together_as_the_limit_says(
    tmp_path: Path, start: Any, limit: int, asks: int
) -> None:
    path = tmp_path / "quota.db"
    each = admitted([start(path, limit, asks) for _ in range(4)])
    assert sum(each) <= limit
    assert sum(each) == limit if limit == 6 else sum(each) > 0.8 * limit, "slices of one leave nothing over"

    async def body(store: SqliteQuota) -> None:
        assert await store.usage([SIX]) == {SIX: sum(each)}

    with_store(path, body, time.time)


def test_what_a_killed_process_held_comes_back(tmp_path: Path, start: Any) -> None:
    path = tmp_path / "quota.db"
    process = start(path, 160, 15, "hang")
    assert admitted([process]) == [15]
    bucket = Bucket("group:a", "requests", 160, "36500d")

    async def held(store: SqliteQuota) -> None:
        gone = await store.usage([bucket, PLACES])
        assert gone[bucket] > 15, "a slice is out"
        assert gone[PLACES] >= 15
        process.kill()
        process.wait()

    async def soon(store: SqliteQuota) -> None:
        gone = await store.usage([bucket, PLACES])
        assert gone[bucket] == 15, "what it had spent stays spent"
        assert gone[PLACES] == 15

    async def later(store: SqliteQuota) -> None:
        assert await store.usage([PLACES]) == {PLACES: 0}

    with_store(path, held, time.time)
    with_store(path, soon, lambda: time.time() + 1)
    with_store(path, later, lambda: time.time() + 5)


def test_many_can_open_a_new_file_at_once(tmp_path: Path) -> None:
    async def main() -> None:
        stores = [SqliteQuota(tmp_path / "quota.db", time.time) for _ in range(16)]
        await asyncio.gather(*(store.__aenter__() for store in stores))
        answers = await asyncio.gather(*(store.grant([Ask(SIX, 1)]) for store in stores))
        assert sum(isinstance(answer, Granted) for answer in answers) == 6
        await asyncio.gather(*(store.__aexit__() for store in stores))

    asyncio.run(main())


# --- the loop


def test_the_loop_goes_on_while_the_file_is_busy(tmp_path: Path) -> None:
    path = tmp_path / "quota.db"

    async def main() -> None:
        async with SqliteQuota(path, time.time) as store:
            other = sqlite3.connect(path, isolation_level=None)
            other.execute("BEGIN IMMEDIATE")
            asked = asyncio.create_task(store.grant([Ask(SIX, 1)]))
            for _ in range(5):
                await asyncio.sleep(0.001)
            assert not asked.done()
            other.close()
            assert isinstance(await asked, Granted)

    asyncio.run(main())


def test_a_file_that_stays_busy_fails_the_call_and_only_that(tmp_path: Path) -> None:
    path = tmp_path / "quota.db"

    async def main() -> None:
        async with SqliteQuota(path, lambda: START) as store:
            other = sqlite3.connect(path, isolation_level=None)
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(sqlite3.OperationalError, match="locked"):
                await store.settle({PLACES: 1, SIX: 1}, {})
            assert await store.usage([SIX, PLACES]) == {SIX: 0, PLACES: 0}
            other.close()
            await store.settle({PLACES: 1, SIX: 1}, {})
            assert await store.usage([SIX, PLACES]) == {SIX: 1, PLACES: 1}

    asyncio.run(main())


def test_a_transaction_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    async def body(store: SqliteQuota) -> None:
        wrong = Bucket("group:a", "requests", 6, "fortnight")
        with pytest.raises(ValueError, match="no window"):
            await store.grant([Ask(SIX, 1), Ask(wrong, 1)])
        with pytest.raises(ValueError, match="no window"):
            await store.settle({PLACES: 1, wrong: 1}, {})
        assert await store.usage([SIX, PLACES]) == {SIX: 0, PLACES: 0}

    with_store(tmp_path / "quota.db", body)


def test_closing_a_store_ends_its_thread_and_gives_back_what_it_held(tmp_path: Path) -> None:
    async def body(store: SqliteQuota) -> None:
        await store.grant([Ask(SIX, 6)])
        await store.settle({PLACES: 3}, {})

    async def after(store: SqliteQuota) -> None:
        assert await store.usage([SIX, PLACES]) == {SIX: 0, PLACES: 0}

    before = threading.active_count()
    with_store(tmp_path / "quota.db", body)
    with_store(tmp_path / "quota.db", after)
    assert threading.active_count() == before


def test_a_store_whose_file_is_gone_can_be_closed(tmp_path: Path) -> None:
    path = tmp_path / "quota.db"

    async def body(store: SqliteQuota) -> None:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("DROP TABLE leases")
        other.close()
        with pytest.raises(sqlite3.OperationalError, match="no such table"):
            await store.grant([Ask(SIX, 1)])

    with_store(path, body)


def test_a_whole_worker_over_a_file(tmp_path: Path) -> None:
    async def main() -> None:
        async with SqliteQuota(tmp_path / "quota.db", time.time) as store:
            quota = Quota(store, time.time, "closed")
            taken = [await quota.reserve([Ask(SIX, 1), Ask(PLACES, 1)]) for _ in range(7)]
            assert [isinstance(one, Exhausted) for one in taken] == [False] * 6 + [True]
            for one in taken[:6]:
                one.close({"requests": 1.0})  # type: ignore[union-attr]
            await quota.aclose()
            assert await store.usage([SIX, PLACES]) == {SIX: 6, PLACES: 0}

    asyncio.run(main())


# --- clocks


def test_looking_alone_sees_that_a_worker_fell_silent(tmp_path: Path) -> None:
    now = START

    async def body(store: SqliteQuota) -> None:
        nonlocal now
        async with SqliteQuota(store.path, lambda: now) as other:
            await store.settle({PLACES: 2}, {})
            assert await other.usage([PLACES]) == {PLACES: 2}
            now += 5
            assert await other.usage([PLACES]) == {PLACES: 0}

    with_store(tmp_path / "quota.db", body)


def test_a_lease_of_a_clock_that_was_set_back_does_not_stay(tmp_path: Path) -> None:
    async def ahead(store: SqliteQuota) -> None:
        await store.grant([Ask(SIX, 6)])
        await store.settle({PLACES: 2}, {})
        store._tables.close = store._tables._database.close  # type: ignore[method-assign]  # as if killed

    async def behind(store: SqliteQuota) -> None:
        assert isinstance(await store.grant([Ask(SIX, 6), Ask(PLACES, 50)]), Granted)

    with_store(tmp_path / "quota.db", ahead, lambda: START + 3600)
    with_store(tmp_path / "quota.db", behind)


# --- the file


def test_the_file_is_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "new" / "quota.db"

    async def body(store: SqliteQuota) -> None:
        await store.grant([Ask(SIX, 1)])
        modes = {file.name: file.stat().st_mode & 0o777 for file in path.parent.iterdir()}
        assert modes == {"quota.db": 0o600, "quota.db-wal": 0o600, "quota.db-shm": 0o600}
        assert path.parent.stat().st_mode & 0o777 == 0o700

    with_store(path, body)
    path.chmod(0o644)
    with_store(path, body)


def test_a_file_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "quota.db"
    with_store(path, nothing)
    other = sqlite3.connect(path)
    other.execute(f"PRAGMA user_version = {VERSION + 1}")
    other.close()
    with pytest.raises(PluginError, match=r"newer version of this plugin .*Upgrade llmrouter-quota-sqlite"):
        with_store(path, nothing)


def test_what_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "quota.db"
    path.write_bytes(b"not a database" * 1000)
    with pytest.raises(PluginError, match=r"file is not a database\. Set `quota\.path`"):
        with_store(path, nothing)


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(PluginError, match=r"Is a directory\. Set `quota\.path`"):
        with_store(tmp_path, nothing)


def test_opening_waits_for_another_process_and_not_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "quota.db"
    monkeypatch.setattr(database, "OPENING", 0.05)
    monkeypatch.setattr(database, "BUSY", 0.01)
    with_store(path, nothing)
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(PluginError, match="database is locked"):
        with_store(path, nothing)
    monkeypatch.setattr(database, "OPENING", 10.0)
    release = threading.Timer(0.05, other.rollback)
    release.start()
    with_store(path, nothing)
    release.join()
    other.close()


def test_ended_windows_are_cleared_away_at_the_start(tmp_path: Path) -> None:
    path = tmp_path / "quota.db"

    async def fill(store: SqliteQuota) -> None:
        await store.settle({Bucket(f"group:{n}", "requests", 1, "minute"): 1 for n in range(50)}, {})
        await store.settle({SIX: 1}, {})

    with_store(path, fill)
    with_store(path, nothing, lambda: START + 60)
    other = sqlite3.connect(path)
    assert other.execute("SELECT scope, used FROM books").fetchall() == [("group:a", 1.0)]
    other.close()


# --- the plugin


def test_the_configuration_says_where(tmp_path: Path) -> None:
    context: Any = SimpleNamespace(state_dir=tmp_path, clock=lambda: 0.0)
    type_ = descriptor()
    store: Any = type_.build(type_.config(), context)
    assert store.path == tmp_path / "quota.db"
    store = type_.build(type_.config(path=str(tmp_path / "elsewhere.db")), context)
    assert store.path == tmp_path / "elsewhere.db"
