"""The contract of a cache."""

from __future__ import annotations

import asyncio
import string
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from llmrouter.protocols import Cache, CacheType, Clock

from .clock import run
from .descriptors import check_descriptor

KEYS = [
    "a",
    "recording/0123456789abcdef",
    "memory/client a/resp_1",
    "with%percent_and_underscore",
    "quote'\"`;--",
    "[brackets]{braces}(round)*?",
    "../../etc/passwd",
    "a:b|c\\d",
    "UPPER",
    "~" * 500,
    "".join(sorted(set(string.printable) - set(string.whitespace))),
]
"""Printable ASCII of the kinds that trip up SQL, globs, file names and protocols."""

VALUES = [b"", b"x", b"\x00", bytes(range(256)), b"\r\n\r\n", b"\xff\xfe" * 50, "größer 🦊".encode(), b'{"a": 1}']


class CacheContract:
    """Subclass it as `TestMyCache` and say how to make one. Every test gets a cache of its own.

    `clock` is the loop's time, which the tests move by sleeping: under `run` that takes no time. A cache
    that cannot take a clock, or whose server has its own, sets `execute = asyncio.run` and a short `ttl`.
    """

    execute: Callable[..., Any] = staticmethod(run)
    ttl = 100.0
    persistent = False  # made again over the same folder, it still knows what it was told

    def make(self, folder: Path, clock: Clock) -> Cache | AbstractAsyncContextManager[Cache]:
        """A cache, or the async context manager that gives it. `folder` is the test's own, and empty at first."""
        raise NotImplementedError

    def descriptor(self) -> CacheType | None:
        """What the plugin registers; None for a cache that is no plugin."""
        return None

    @pytest.fixture
    def use(self, tmp_path: Path) -> Callable[[Callable[[Cache], Awaitable[None]]], None]:
        """Run a test's body over a cache that is open for as long as the body runs."""

        async def main(body: Callable[[Cache], Awaitable[None]]) -> None:
            made: Any = self.make(tmp_path, asyncio.get_running_loop().time)
            if not hasattr(made, "__aenter__"):
                return await body(made)
            async with made as cache:
                return await body(cache)

        return lambda body: self.execute(main(body))

    def test_what_was_set_is_there(self, use: Any) -> None:
        async def body(cache: Cache) -> None:
            await cache.set("key", b"value", self.ttl)
            assert await cache.get("key") == b"value"
            assert await cache.get("key") == b"value", "reading does not use it up"

        use(body)

    def test_what_was_never_set_is_a_miss(self, use: Any) -> None:
        async def body(cache: Cache) -> None:
            await cache.set("key", b"value", self.ttl)
            assert await cache.get("kez") is None
            assert await cache.get("ke") is None
            assert await cache.get("key ") is None

        use(body)

    def test_keys_differ_by_case(self, use: Any) -> None:
        async def body(cache: Cache) -> None:
            await cache.set("key", b"lower", self.ttl)
            await cache.set("KEY", b"upper", self.ttl)
            assert (await cache.get("key"), await cache.get("KEY")) == (b"lower", b"upper")

        use(body)

    @pytest.mark.parametrize("key", KEYS, ids=range(len(KEYS)))
    def test_any_printable_ascii_is_a_key(self, use: Any, key: str) -> None:
        async def body(cache: Cache) -> None:
            assert await cache.get(key) is None
            await cache.set(key, b"value", self.ttl)
            assert await cache.get(key) == b"value"
            assert await cache.clear(key) == 1
            assert await cache.get(key) is None

        use(body)

    @pytest.mark.parametrize("value", VALUES, ids=range(len(VALUES)))
    def test_any_bytes_come_back_as_they_went_in(self, use: Any, value: bytes) -> None:
        async def body(cache: Cache) -> None:
            await cache.set("key", value, self.ttl)
            assert await cache.get("key") == value
            assert type(await cache.get("key")) is bytes

        use(body)

    @pytest.mark.parametrize("size", [1_000, 32_767, 32_768, 100_000, 3_000_000])
    def test_a_large_answer_is_kept_whole(self, use: Any, size: int) -> None:
        value = bytes(range(256)) * (size // 256 + 1)

        async def body(cache: Cache) -> None:
            await cache.set("key", value[:size], self.ttl)
            assert await cache.get("key") == value[:size]

        use(body)

    def test_the_last_value_counts(self, use: Any) -> None:
        async def body(cache: Cache) -> None:
            for value in (b"one", b"two" * 50_000, b"three"):
                await cache.set("key", value, self.ttl)
                assert await cache.get("key") == value
            assert await cache.clear("key") == 1

        use(body)

    def test_it_is_there_until_its_time_is_up(self, use: Any) -> None:
        async def body(cache: Cache) -> None:
            await cache.set("key", b"value", self.ttl)
            await asyncio.sleep(self.ttl * 0.6)
            assert await cache.get("key") == b"value"
            await asyncio.sleep(self.ttl * 0.6)
            assert await cache.get("key") is None

        use(body)

    def test_reading_does_not_lengthen_its_time(self, use: Any) -> None:
        async def body(cache: Cache) -> None:
            await cache.set("key", b"value", self.ttl)
            for _ in range(4):
                await asyncio.sleep(self.ttl * 0.3)
                await cache.get("key")
            assert await cache.get("key") is None

        use(body)

    def test_setting_again_begins_a_new_time(self, use: Any) -> None:
        async def body(cache: Cache) -> None:
            await cache.set("key", b"old", self.ttl)
            await asyncio.sleep(self.ttl * 0.8)
            await cache.set("key", b"new", self.ttl)
            await asyncio.sleep(self.ttl * 0.8)
            assert await cache.get("key") == b"new"

        use(body)

    def test_every_entry_has_its_own_time(self, use: Any) -> None:
        async def body(cache: Cache) -> None:
            await cache.set("short", b"1", self.ttl)
            await cache.set("long", b"2", self.ttl * 10)
            await asyncio.sleep(self.ttl * 1.2)
            assert (await cache.get("short"), await cache.get("long")) == (None, b"2")

        use(body)

    def test_clearing_takes_what_begins_with_the_prefix_and_counts_it(self, use: Any) -> None:
        async def body(cache: Cache) -> None:
            for key in ("a/1", "a/2", "a/3", "ab", "b/1", "A/1"):
                await cache.set(key, b"value", self.ttl)
            assert await cache.clear("a/") == 3
            assert await cache.clear("a/") == 0
            left = [key for key in ("a/1", "a/2", "a/3", "ab", "b/1", "A/1") if await cache.get(key)]
            assert left == ["ab", "b/1", "A/1"]

        use(body)

    @pytest.mark.parametrize("prefix", ["a%", "a_", "a*", "a?", "a[b]", "a\\", "a'"])
    def test_a_prefix_is_no_pattern(self, use: Any, prefix: str) -> None:
        async def body(cache: Cache) -> None:
            for key in ("abc", "ab", prefix + "x"):
                await cache.set(key, b"value", self.ttl)
            assert await cache.clear(prefix) == 1
            assert await cache.get("abc") == await cache.get("ab") == b"value"

        use(body)

    def test_the_empty_prefix_clears_all(self, use: Any) -> None:
        async def body(cache: Cache) -> None:
            for number in range(150):
                await cache.set(f"key/{number}", b"value" * number, self.ttl)
            assert await cache.clear("") == 150
            assert await cache.get("key/7") is None
            assert await cache.clear("") == 0

        use(body)

    def test_many_at_once_do_not_mix(self, use: Any) -> None:
        async def one(cache: Cache, number: int) -> bytes | None:
            await cache.set(f"key/{number}", str(number).encode() * number, self.ttl)
            return await cache.get(f"key/{number}")

        async def body(cache: Cache) -> None:
            got = await asyncio.gather(*(one(cache, number) for number in range(1, 60)))
            assert got == [str(number).encode() * number for number in range(1, 60)]

        use(body)

    def test_writers_of_one_key_leave_one_of_their_values(self, use: Any) -> None:
        async def body(cache: Cache) -> None:
            values = [bytes([number]) * 40_000 for number in range(20)]
            await asyncio.gather(*(cache.set("key", value, self.ttl) for value in values))
            assert await cache.get("key") in values

        use(body)

    def test_a_cancelled_write_harms_nobody(self, use: Any) -> None:
        async def body(cache: Cache) -> None:
            task = asyncio.ensure_future(cache.set("key", b"value", self.ttl))
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await cache.set("other", b"other", self.ttl)
            assert await cache.get("other") == b"other"
            assert await cache.get("key") in (b"value", None)

        use(body)

    def test_a_value_outlives_its_cache_where_it_is_persistent(self, tmp_path: Path) -> None:
        async def visit(key: str, value: bytes) -> bytes | None:
            made: Any = self.make(tmp_path, asyncio.get_running_loop().time)
            async with made as cache:
                found: bytes | None = await cache.get(key)
                await cache.set(key, value, self.ttl)
                return found

        if not self.persistent:
            pytest.skip("this cache keeps nothing")
        assert self.execute(visit("key", b"first")) is None
        assert self.execute(visit("key", b"second" * 20_000)) == b"first"
        assert self.execute(visit("key", b"third")) == b"second" * 20_000

    def test_its_descriptor_is_sane(self) -> None:
        descriptor = self.descriptor()
        if descriptor is None:
            pytest.skip("not a plugin")
        assert isinstance(descriptor, CacheType)
        check_descriptor(descriptor)
