"""The quota store that is always there: in this process, for one worker, gone with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attrs import define, field

from llmrouter.protocols import Clock
from llmrouter.quota import Book, Key, key_of, lend, same_window
from llmrouter.types import Ask, Bucket, Exhausted, Granted, Sighting

SWEEP = 4096
"""Every so many new buckets, those whose window is over are forgotten."""


@define(eq=False)
class MemoryQuota:
    """Counts in a dictionary. Never waits, so every call is atomic."""

    clock: Clock
    _books: dict[Key, Book] = field(factory=dict, init=False)

    async def grant(self, asks: Sequence[Ask]) -> Granted | Exhausted:
        now = self.clock()
        return lend([(ask, self._book(ask.bucket, now)) for ask in asks], now)

    async def settle(self, spent: Mapping[Bucket, float], unspent: Mapping[Bucket, float]) -> None:
        now = self.clock()
        for bucket, amount in spent.items():
            self._book(bucket, now).spend(amount)
        for bucket, amount in unspent.items():
            self._book(bucket, now).release(amount)

    async def correct(self, sightings: Sequence[Sighting]) -> None:
        now = self.clock()
        for sighting in sightings:
            for (scope, unit, window), book in self._books.items():
                if (scope, unit) == (sighting.scope, sighting.unit) and same_window(sighting.window, window):
                    book.roll(now)
                    book.correct(sighting, now)
                    book.leases.clear()

    async def usage(self, buckets: Sequence[Bucket]) -> Mapping[Bucket, float]:
        now = self.clock()
        return {bucket: self._book(bucket, now).gone for bucket in buckets}

    def _book(self, bucket: Bucket, now: float) -> Book:
        key = key_of(bucket)
        book = self._books.get(key)
        if book is None:
            if (len(self._books) + 1) % SWEEP == 0:
                self._sweep(now)
            book = self._books[key] = Book.of(bucket)
        book.limit = bucket.limit
        book.roll(now)
        return book

    def _sweep(self, now: float) -> None:
        for key, book in [*self._books.items()]:
            if now >= book.ends and all(now >= lease.ends for lease in book.leases):
                del self._books[key]
