"""The cache that is always there: in this process, bounded, gone with it."""

from __future__ import annotations

from collections import OrderedDict

from attrs import define, field, frozen

from llmrouter.protocols import Clock

ENTRY_BYTES = 250
"""What an entry costs beside its key and value: two objects and their places in a dictionary."""


@frozen
class _Entry:
    value: bytes
    until: float
    size: int


@define(eq=False)
class MemoryCache:
    """Bytes by key until their time is up; the least recently used leave first when `max_bytes` are full.

    A value that alone is larger than `max_bytes` is not kept.
    """

    max_bytes: int
    clock: Clock
    size: int = field(default=0, init=False)  # bytes, entries' own cost included
    _entries: OrderedDict[str, _Entry] = field(factory=OrderedDict, init=False)

    async def get(self, key: str) -> bytes | None:
        entry = self._entries.get(key)
        if entry is None:
            return None
        if entry.until <= self.clock():
            self._drop(key)
            return None
        self._entries.move_to_end(key)
        return entry.value

    async def set(self, key: str, value: bytes, ttl: float) -> None:
        self._drop(key)
        size = len(key) + len(value) + ENTRY_BYTES
        if ttl <= 0 or size > self.max_bytes:
            return
        self._entries[key] = _Entry(value, self.clock() + ttl, size)
        self.size += size
        while self.size > self.max_bytes:
            self._drop(next(iter(self._entries)))

    async def clear(self, prefix: str) -> int:
        found = [key for key in self._entries if key.startswith(prefix)]
        for key in found:
            self._drop(key)
        return len(found)

    def _drop(self, key: str) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self.size -= entry.size
