"""The in-process quota store: the contract of every store, and what is its own."""

from __future__ import annotations

from pathlib import Path

from llmrouter.engine.memory_quota import SWEEP, MemoryQuota
from llmrouter.protocols import Clock
from llmrouter.testing import run
from llmrouter.testing.quota import QuotaStoreContract
from llmrouter.types import Ask, Bucket


class TestMemoryQuota(QuotaStoreContract):
    def make(self, folder: Path, clock: Clock) -> MemoryQuota:
        return MemoryQuota(clock)


def test_buckets_whose_window_is_over_are_forgotten() -> None:
    now = 0.0
    store = MemoryQuota(lambda: now)

    def asks(name: str, window: str, many: int) -> list[Ask]:
        return [Ask(Bucket(f"{name}{number}", "requests", 1, window), 1) for number in range(many)]

    async def body() -> None:
        nonlocal now
        await store.grant(asks("first", "minute", SWEEP - 10))
        await store.grant(asks("kept", "day", 9))
        now = 100.0
        await store.grant(asks("new", "minute", 1))
        assert len(store._books) == 10

    run(body())
