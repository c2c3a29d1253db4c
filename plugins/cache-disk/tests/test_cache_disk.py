"""The disk cache: the contract of every cache, its guard, and its troubles with other processes."""

from __future__ import annotations

import asyncio
import logging
import os
import pickle
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import diskcache
import llmrouter_cache_disk
import pytest
from llmrouter_cache_disk.cache import OPENINGS, UNTIL, DiskCache
from llmrouter_cache_disk.guard import NOT_OURS, BytesDisk

from llmrouter.errors import PluginError
from llmrouter.protocols import CacheType, Clock
from llmrouter.testing import run
from llmrouter.testing.cache import CacheContract

ROOM = 100 * 1024 * 1024
log = logging.getLogger("test")


def descriptor() -> CacheType:
    [found] = llmrouter_cache_disk.llmrouter_register_caches()
    return found


class TestDiskCache(CacheContract):
    persistent = True

    def make(self, folder: Path, clock: Clock) -> DiskCache:
        return DiskCache(folder / "cache", ROOM, clock, log)

    def descriptor(self) -> CacheType:
        return descriptor()


def with_cache(folder: Path, body: Callable[[DiskCache], Awaitable[None]], max_bytes: int = ROOM) -> None:
    async def main() -> None:
        async with DiskCache(folder, max_bytes, asyncio.get_running_loop().time, log) as cache:
            await body(cache)

    run(main())


def plant(folder: Path, **columns: Any) -> None:
    """Write a row past the cache, as somebody else with access to the folder would."""
    row = {"key": "planted", "raw": 1, "size": 0, "mode": 1, "filename": None, "value": None, **columns}
    database = sqlite3.connect(folder / "cache.db")
    marks = ",".join("?" * len(row))
    database.execute(f"INSERT INTO Cache ({','.join(row)}) VALUES ({marks})", tuple(row.values()))
    database.commit()
    database.close()


class Bomb:
    """Unpickling one leaves a file behind."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.trace,))


# --- the guard


def test_a_planted_pickle_is_refused_and_not_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    trace, folder = tmp_path / "trace", tmp_path / "cache"

    async def body(cache: DiskCache) -> None:
        plant(folder, mode=4, value=pickle.dumps(Bomb(trace)))
        assert await cache.get("planted") is None

    with_cache(folder, body)
    assert not trace.exists()
    assert "is not ours" in caplog.text
    pickle.loads(pickle.dumps(Bomb(trace)))
    assert trace.exists(), "the bomb is a real one"


def test_a_planted_pickle_in_a_file_is_refused(tmp_path: Path) -> None:
    trace, folder = tmp_path / "trace", tmp_path / "cache"
    name = f"ab/cd/{'0' * 28}.val"

    async def body(cache: DiskCache) -> None:
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_bytes(pickle.dumps(Bomb(trace)))
        plant(folder, mode=4, filename=name)
        assert await cache.get("planted") is None

    with_cache(folder, body)
    assert not trace.exists()


def test_a_planted_key_is_not_unpickled_while_keys_are_listed(tmp_path: Path) -> None:
    trace, folder = tmp_path / "trace", tmp_path / "cache"

    async def body(cache: DiskCache) -> None:
        await cache.set("own", b"value", 60)
        plant(folder, key=pickle.dumps(Bomb(trace)), raw=0, value=b"x")
        plant(folder, key=b"own/bytes", raw=1, value=b"x")
        assert await cache.clear("own") == 1

    with_cache(folder, body)
    assert not trace.exists()


ESCAPES = ["../secret", "ab/cd/../../../secret", "/etc/hostname", f"ab/cd/{'0' * 28}.val/../../../../secret", 7]


@pytest.mark.parametrize("name", ESCAPES)
@pytest.mark.parametrize("mode", [2, 3])
def test_a_planted_file_name_opens_no_file(tmp_path: Path, name: object, mode: int) -> None:
    folder = tmp_path / "cache"
    (tmp_path / "secret").write_bytes(UNTIL.pack(1e300) + b"what a cache would take for an answer")

    async def body(cache: DiskCache) -> None:
        plant(folder, mode=mode, filename=name)
        assert await cache.get("planted") is None

    with_cache(folder, body)


def test_a_planted_file_name_deletes_no_file(tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    (tmp_path / "secret").write_bytes(b"keep me")

    async def body(cache: DiskCache) -> None:
        plant(folder, mode=2, filename="../secret")
        await cache.set("planted", b"overwrites the row", 60)
        plant(folder, key="planted/2", mode=2, filename="../secret")
        assert await cache.clear("planted/") == 1
        plant(folder, key="planted/3", mode=2, filename="../secret")
        assert await cache.clear("") == 2

    with_cache(folder, body)
    assert (tmp_path / "secret").read_bytes() == b"keep me"


@pytest.mark.parametrize("value", [b"short", "text", 5, None])
def test_a_planted_value_of_another_kind_is_a_miss(tmp_path: Path, value: object) -> None:
    async def body(cache: DiskCache) -> None:
        plant(tmp_path / "cache", value=value)
        assert await cache.get("planted") is None

    with_cache(tmp_path / "cache", body)


def test_only_text_goes_in_as_a_key_and_only_bytes_as_a_value(tmp_path: Path) -> None:
    disk = BytesDisk(str(tmp_path))
    with pytest.raises(TypeError, match="key is text, not bytes"):
        disk.put(b"key")
    with pytest.raises(TypeError, match="value is bytes, not dict"):
        disk.store({"a": 1}, False)
    assert disk.get(b"pickled", False) == NOT_OURS


# --- the folder


@pytest.mark.parametrize("mode", [0o755, 0o770, 0o701])
def test_a_folder_that_others_may_use_is_refused(tmp_path: Path, mode: int) -> None:
    folder = tmp_path / "cache"
    folder.mkdir()
    folder.chmod(mode)
    with pytest.raises(PluginError, match=f"chmod 700 {folder}"):
        with_cache(folder, no_body)


def test_a_folder_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: mine + 1)
    with pytest.raises(PluginError, match="belongs to another user"):
        with_cache(tmp_path / "cache", no_body)


def test_a_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(PluginError, match=r"cannot be used: .*Set `cache\.path`"):
        with_cache(tmp_path / "cache", no_body)


def test_a_folder_is_made_for_us_alone(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "cache"
    with_cache(folder, no_body)
    assert folder.stat().st_mode & 0o777 == 0o700


async def no_body(cache: DiskCache) -> None:
    pass


# --- other processes, and trouble


def test_two_caches_over_one_folder_see_each_other(tmp_path: Path) -> None:
    folder = tmp_path / "cache"

    async def body(cache: DiskCache) -> None:
        async with DiskCache(folder, ROOM, cache.clock, log) as other:
            await cache.set("key", b"value", 60)
            assert await other.get("key") == b"value"
            assert await other.clear("k") == 1
            assert await cache.get("key") is None

    with_cache(folder, body)


def test_a_busy_database_loses_the_write_and_serves_reads(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "cache"

    async def body(cache: DiskCache) -> None:
        await cache.set("key", b"old", 60)
        database = sqlite3.connect(folder / "cache.db", isolation_level=None)
        database.execute("BEGIN IMMEDIATE")
        await cache.set("key", b"new", 60)
        assert await cache.get("key") == b"old"
        database.close()
        await cache.set("key", b"newer", 60)
        assert await cache.get("key") == b"newer"

    with_cache(folder, body)
    assert "was not kept" in caplog.text


def test_a_file_that_is_gone_is_a_miss(tmp_path: Path) -> None:
    folder = tmp_path / "cache"

    async def body(cache: DiskCache) -> None:
        await cache.set("key", b"x" * 100_000, 60)
        for file in folder.glob("*/*/*.val"):
            file.unlink()
        assert await cache.get("key") is None

    with_cache(folder, body)


def test_a_failing_disk_is_a_miss(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def body(cache: DiskCache) -> None:
        database = sqlite3.connect(tmp_path / "cache" / "cache.db")
        database.execute("ALTER TABLE Cache RENAME TO Gone")
        database.commit()
        database.close()
        assert await cache.get("key") is None
        await cache.set("key", b"value", 60)

    with_cache(tmp_path / "cache", body)
    assert "reading failed" in caplog.text


def test_the_oldest_answers_leave_a_full_cache(tmp_path: Path) -> None:
    async def body(cache: DiskCache) -> None:
        for number in range(100):
            await cache.set(f"key/{number}", b"x" * 50_000, 60)
        there = [number for number in range(100) if await cache.get(f"key/{number}")]
        assert there, "some are kept"
        assert there == list(range(there[0], 100)), "the last ones"
        assert len(there) * 50_000 <= 2_000_000

    with_cache(tmp_path / "cache", body, max_bytes=2_000_000)


def test_an_expired_answer_is_swept_from_the_disk(tmp_path: Path) -> None:
    async def body(cache: DiskCache) -> None:
        await cache.set("gone", b"x" * 100_000, -1)
        await cache.set("key", b"value", 60)
        assert list((tmp_path / "cache").glob("*/*/*.val")) == []

    with_cache(tmp_path / "cache", body)


def test_what_is_no_database_stops_the_start(tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    folder.mkdir(mode=0o700)
    (folder / "cache.db").write_bytes(b"not a database" * 1000)
    with pytest.raises(PluginError, match="file is not a database"):
        with_cache(folder, no_body)


def opens_after(failures: int, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let diskcache meet a locked database that many times before it opens."""
    met: list[int] = []

    class Busy(diskcache.Cache):  # type: ignore[misc]
        def __init__(self, *args: Any, **settings: Any) -> None:
            if len(met) < failures:
                met.append(1)
                raise sqlite3.OperationalError("database is locked")
            super().__init__(*args, **settings)

    monkeypatch.setattr("llmrouter_cache_disk.cache.Cache", Busy)
    return met


def test_opening_waits_for_a_process_that_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    met = opens_after(3, monkeypatch)
    with_cache(tmp_path / "cache", no_body)
    assert len(met) == 3


def test_opening_gives_up_on_a_process_that_never_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    met = opens_after(1000, monkeypatch)
    with pytest.raises(PluginError, match="database is locked"):
        with_cache(tmp_path / "cache", no_body)
    assert len(met) == OPENINGS


# --- the plugin


def test_the_configuration_says_where(tmp_path: Path) -> None:
    context: Any = SimpleNamespace(state_dir=tmp_path, clock=lambda: 0.0, logger=log)
    type_ = descriptor()
    cache: Any = type_.build(type_.config(), context)
    assert cache.folder == tmp_path / "cache"
    cache = type_.build(type_.config(path=str(tmp_path / "elsewhere"), max_bytes=5_000_000), context)
    assert (cache.folder, cache.max_bytes) == (tmp_path / "elsewhere", 5_000_000)


def test_the_defaults_are_those_of_the_schema() -> None:
    type_ = descriptor()
    assert type_.config().max_bytes == type_.schema["properties"]["max_bytes"]["default"]
