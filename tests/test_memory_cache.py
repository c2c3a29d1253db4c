"""The in-process cache: the contract of every cache, and what is its own."""

from __future__ import annotations

import asyncio
from pathlib import Path

from llmrouter.engine.memory_cache import ENTRY_BYTES, MemoryCache
from llmrouter.protocols import Clock
from llmrouter.testing import run
from llmrouter.testing.cache import CacheContract


class TestMemoryCache(CacheContract):
    def make(self, folder: Path, clock: Clock) -> MemoryCache:
        return MemoryCache(10_000_000, clock)


def small(entries: int) -> MemoryCache:
    """Room for that many entries with a key of one letter and a value of ten bytes."""
    return MemoryCache(entries * (ENTRY_BYTES + 11), asyncio.get_running_loop().time)


def test_the_least_recently_used_leaves_first() -> None:
    async def body() -> None:
        cache = small(3)
        for key in "abc":
            await cache.set(key, b"0123456789", 60)
        await cache.get("a")
        await cache.set("d", b"0123456789", 60)
        assert [key for key in "abcd" if await cache.get(key)] == ["a", "c", "d"]

    run(body())


def test_its_size_never_passes_the_bound_and_returns_to_zero() -> None:
    async def body() -> None:
        cache = small(3)
        for number in range(50):
            await cache.set(str(number % 7), b"x" * (number * 13 % 400), 60)
            assert 0 <= cache.size <= cache.max_bytes
        await cache.clear("")
        assert cache.size == 0

    run(body())


def test_a_value_that_fits_nowhere_is_not_kept_and_drives_nothing_out() -> None:
    async def body() -> None:
        cache = small(2)
        await cache.set("a", b"0123456789", 60)
        await cache.set("b", b"x" * cache.max_bytes, 60)
        assert await cache.get("a") == b"0123456789"
        assert await cache.get("b") is None

    run(body())


def test_a_larger_value_replaces_the_smaller_one_also_when_it_does_not_fit() -> None:
    async def body() -> None:
        cache = small(2)
        await cache.set("a", b"0123456789", 60)
        await cache.set("a", b"x" * cache.max_bytes, 60)
        assert await cache.get("a") is None
        assert cache.size == 0

    run(body())


def test_what_expired_gives_its_room_back_when_it_is_asked_for() -> None:
    async def body() -> None:
        cache = small(3)
        await cache.set("a", b"0123456789", 10)
        await asyncio.sleep(10)
        assert await cache.get("a") is None
        assert cache.size == 0

    run(body())


def test_a_time_to_live_of_nothing_keeps_nothing() -> None:
    async def body() -> None:
        cache = small(3)
        await cache.set("a", b"old", 10)
        await cache.set("a", b"new", 0)
        assert await cache.get("a") is None

    run(body())
