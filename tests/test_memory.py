"""What clients refer to by name: each its own, from every worker, bounded, never in the way."""

from __future__ import annotations

import logging
import sqlite3
import stat
from pathlib import Path

import pytest

from llmrouter.engine.memory import Memory
from llmrouter.engine.memory_cache import MemoryCache
from llmrouter.engine.memory_file import FileMemory
from llmrouter.testing import run
from llmrouter.types import Keep

LOG = logging.getLogger("llmrouter.tests")


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


def both(path: Path, clock: Clock) -> tuple[Memory, Memory]:
    """Two workers over one file."""
    one, other = (FileMemory(path / "memory.db", clock, 1 << 20) for _ in range(2))
    return Memory(one, LOG), Memory(other, LOG)


def test_every_worker_finds_what_one_has_kept_until_its_time_is_up(tmp_path: Path) -> None:
    async def main() -> None:
        clock = Clock()
        here, there = both(tmp_path, clock)
        await here.keep("dev", Keep("response:1", b"\x00one", 10.0))
        await here.keep("dev", Keep("response:10", b"ten", 10.0))
        assert await there.find("dev", ["response:1", "nothing"]) == {"response:1": b"\x00one"}
        assert await there.find("another", ["response:1"]) == {}
        assert await there.forget("dev", "response:1")
        assert not await there.forget("dev", "response:1")
        assert await here.find("dev", ["response:1", "response:10"]) == {"response:10": b"ten"}
        clock.now += 10.0
        assert await here.find("dev", ["response:10"]) == {}

    run(main())


def test_what_is_kept_is_this_users_alone(tmp_path: Path) -> None:
    async def main() -> None:
        here, _ = both(tmp_path, Clock())
        await here.keep("dev", Keep("a", b"b"))

    run(main())
    assert stat.S_IMODE((tmp_path / "memory.db").stat().st_mode) == 0o600


def test_when_it_is_full_what_ends_first_leaves(tmp_path: Path) -> None:
    async def main() -> None:
        clock = Clock()
        async with FileMemory(tmp_path / "memory.db", clock, 300_000) as store:
            for number in range(400):
                await store.set(f"key{number:03}", b"x" * 2_000, 100.0 + number)
            assert await store.get("key000") is None
            assert await store.get("key399") == b"x" * 2_000
        with sqlite3.connect(tmp_path / "memory.db") as database:
            (count,) = database.execute("SELECT count(*) FROM kept").fetchone()
        database.close()
        assert 50 < count < 250

    run(main())


class Broken:
    """A store on a disk that is gone."""

    async def get(self, key: str) -> bytes | None:
        raise OSError("no disk")

    async def set(self, key: str, value: bytes, ttl: float) -> None:
        raise OSError("no disk")

    async def clear(self, prefix: str) -> int:
        raise OSError("no disk")


def test_a_broken_store_is_a_miss(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        memory = Memory(Broken(), LOG)
        await memory.keep("dev", Keep("a", b"b"))
        assert await memory.find("dev", ["a"]) == {}
        assert not await memory.forget("dev", "a")

    run(main())
    assert [record.message for record in caplog.records] == [
        "the memory failed to write",
        "the memory failed to read; a miss",
        "the memory failed to forget",
    ]


def test_names_of_one_client_are_never_those_of_another() -> None:
    async def main() -> None:
        memory = Memory(MemoryCache(1 << 16, Clock()), LOG)
        await memory.keep("a", Keep("b/c", b"one"))
        assert await memory.find("a/b", ["c"]) == {}

    run(main())
