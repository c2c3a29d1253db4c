"""The journal: what it keeps, what it survives."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import stat
import threading
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from llmrouter.engine import journal
from llmrouter.engine.journal import Journal, read
from llmrouter.types import RequestRecord

from .serving import FACTS, FULL


def ended(at: float, id: str = "") -> RequestRecord:
    return msgspec.structs.replace(FULL, ended=at, facts=msgspec.structs.replace(FACTS, id=id or f"req_{at:g}"))


def ids(records: list[RequestRecord]) -> list[str]:
    return [record.facts.id for record in records]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


@pytest.fixture(autouse=True)
def calm(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The writer waits long, so that only what a test asks for is written; no thread is left behind."""
    monkeypatch.setattr(journal, "EVERY", 60.0)
    monkeypatch.setattr(journal, "PATIENCE", 0.05)
    before = threading.active_count()
    yield
    assert threading.active_count() == before or threading.active_count() == before + 1  # asyncio's own pool


def within(path: Path, main: Callable[[Journal], Coroutine[Any, Any, Any]], keep: int = 1000) -> Any:
    async def opened() -> Any:
        async with Journal(path, keep) as one:
            return await main(one)

    return asyncio.run(opened())


def test_a_record_survives_json_whole() -> None:
    assert msgspec.json.decode(msgspec.json.encode(FULL), type=RequestRecord) == FULL


def test_what_was_recorded_is_there_at_once_newest_first_and_unchanged(path: Path) -> None:
    async def main(one: Journal) -> list[RequestRecord]:
        for at in (1.0, 3.0, 2.0):
            one.record(ended(at))
        one.record(FULL)
        return await one.recent(3)

    found = within(path, main)
    assert ids(found) == ["req_1", "req_3", "req_2"]
    assert found[0] == FULL


def test_what_was_recorded_is_there_after_the_end_and_for_this_user_alone(path: Path) -> None:
    async def main(one: Journal) -> None:
        one.record(FULL)

    within(path, main)
    assert read(path, 10) == [FULL]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_thread_writes_by_itself(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "EVERY", 0.01)

    async def main(one: Journal) -> None:
        one.record(FULL)
        while not await asyncio.to_thread(read, path, 1):
            pass

    within(path, main)


def test_the_thread_writes_only_while_nobody_else_uses_the_connection(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "EVERY", 0.001)
    alone: list[bool] = []
    flush = Journal._flush

    def seen(one: Journal) -> None:
        alone.append(one._lock.locked())
        flush(one)

    monkeypatch.setattr(Journal, "_flush", seen)

    async def main(one: Journal) -> None:
        one.record(FULL)
        while len(alone) < 3:  # nobody asks: these are the thread's
            await asyncio.sleep(0)

    within(path, main)
    assert all(alone)


def test_nothing_is_lost_when_many_ask_while_the_thread_writes(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(journal, "EVERY", 1e-6)

    async def main(one: Journal) -> tuple[int, int]:
        for at in range(40):
            asking = [asyncio.create_task(one.recent(1)) for _ in range(2)]
            for _ in range(50):
                one.record(ended(at))
                await asyncio.sleep(0)
            await asyncio.gather(*asking)
        return one.dropped, len(await one.recent(2001))

    assert within(path, main, keep=2000) == (0, 2000)
    assert caplog.messages == []


def test_only_the_last_are_kept_and_the_oldest_give_way_first(path: Path) -> None:
    async def main(one: Journal) -> tuple[list[str], int]:
        for at in range(1, 6):
            one.record(ended(at))
        first = ids(await one.recent(10))
        one.record(ended(6))
        return first + ids(await one.recent(10)), one.dropped

    assert within(path, main, keep=3) == (["req_5", "req_4", "req_3", "req_6", "req_5", "req_4"], 2)


def test_two_processes_share_the_file(path: Path) -> None:
    async def main(one: Journal) -> list[str]:
        async with Journal(path) as other:
            one.record(ended(1))
            other.record(ended(2))
            await other.recent(1)
            return ids(await one.recent(10))

    assert within(path, main) == ["req_2", "req_1"]


def _garbage(path: Path) -> None:
    path.write_bytes(b"this is no database, whatever its name says" * 100)


def _newer(path: Path) -> None:
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version = 99")
    database.close()


def _foreign(path: Path) -> None:
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE requests (something TEXT)")
    database.close()


@pytest.mark.parametrize("spoil", [_garbage, _newer, _foreign])
def test_a_file_that_cannot_be_used_makes_way(
    path: Path, spoil: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    spoil(path)
    before = path.read_bytes()

    async def main(one: Journal) -> list[str]:
        one.record(FULL)
        return ids(await one.recent(10))

    assert within(path, main) == ["req_1"]
    [aside] = [one for one in path.parent.iterdir() if "unreadable" in one.name]
    assert aside.read_bytes() == before
    [line] = caplog.messages
    assert str(path) in line


def test_a_file_that_is_damaged_while_in_use_makes_way(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def main(one: Journal) -> tuple[int, list[str]]:
        one.record(ended(1))
        await one.recent(1)
        for part in path.parent.iterdir():
            part.write_bytes(b"\xff" * 20_000)
        one.record(ended(2))
        await one.recent(1)
        one.record(ended(3))
        return one.dropped, ids(await one.recent(10))

    dropped, found = within(path, main)
    assert found[0] == "req_3"
    assert dropped <= 1
    assert "moved to" in caplog.text


def test_a_busy_file_costs_records_and_one_line(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def main(one: Journal) -> list[str]:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        for at in (1, 2):
            one.record(ended(at))
            await one.recent(1)
        other.execute("ROLLBACK")
        other.close()
        assert one.dropped == 2
        one.record(ended(3))
        return ids(await one.recent(10))

    assert within(path, main) == ["req_3"]
    assert len(caplog.records) == 1


def test_a_place_that_cannot_be_written_stops_nobody(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def main(one: Journal) -> list[RequestRecord]:
        one.record(FULL)
        return await one.recent(5)

    assert within(tmp_path / "missing" / "state.db", main) == []
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


def test_after_the_end_nothing_is_read_or_moved(path: Path) -> None:
    async def main() -> list[RequestRecord]:
        async with Journal(path) as one:
            one.record(FULL)
        return await one.recent(5)

    assert asyncio.run(main()) == []
    assert read(path, 5) == [FULL]


def test_records_of_another_shape_are_passed_over(path: Path) -> None:
    async def main(one: Journal) -> None:
        one.record(FULL)

    within(path, main)
    with sqlite3.connect(path) as database:
        database.execute(journal.INSERT, (9e9, b'{"of": "another age"}'))
    database.close()
    assert read(path, 10) == [FULL]


def test_no_journal_is_an_empty_one(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert read(path, 5) == []
    assert caplog.messages == []
    _garbage(path)
    assert read(path, 5) == []
    assert len(caplog.messages) == 1
