"""The transactions. Everything here runs in the store's thread; `now` is the router's clock when it was called."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress

from attrs import define

from llmrouter.quota import TTL, Book, Key, Lease, key_of, lend, same_window
from llmrouter.types import Ask, Bucket, Exhausted, Granted, Sighting

SILENCE = 5.0
"""Seconds after its last call at which a worker is taken for dead and its places are free."""
SIGN = 1.0
"""Seconds after which its places are written again."""


@define(eq=False)
class Row(Book):
    """A book that came from the table."""

    id: int = 0


class Tables:
    """One worker's connection. What it has under `concurrent` limits is kept here too, so that a worker that was
    taken for dead by mistake writes its true count again with its next call."""

    def __init__(self, database: sqlite3.Connection, worker: str, now: float) -> None:
        self._database, self._worker = database, worker
        self._places: dict[int, float] = {}
        self._signed = now
        with self._writing(now):
            self._run("DELETE FROM books WHERE ends <= ? AND id NOT IN (SELECT book FROM leases)", now)

    def close(self) -> None:
        """Give everything back and leave. What cannot be given back ends by itself."""
        with suppress(sqlite3.Error), self._transaction():
            self._run("DELETE FROM leases WHERE worker = ?", self._worker)
            self._run("DELETE FROM places WHERE worker = ?", self._worker)
        self._database.close()

    def grant(self, asks: Sequence[Ask], now: float) -> Granted | Exhausted:
        with self._writing(now):
            books: dict[Key, Row] = {}
            for ask in asks:
                if key_of(ask.bucket) not in books:
                    books[key_of(ask.bucket)] = self._open(ask.bucket, now)
            answer = lend([(ask, books[key_of(ask.bucket)]) for ask in asks], now)
            if isinstance(answer, Granted):
                for ask, amount in zip(asks, answer.amounts, strict=True):
                    row = (books[key_of(ask.bucket)].id, self._worker, now + TTL, amount)
                    self._run("INSERT INTO leases VALUES (?, ?, ?, ?)", *row)
            return answer

    def settle(self, spent: Mapping[Bucket, float], unspent: Mapping[Bucket, float], now: float) -> None:
        places = dict(self._places)
        with self._writing(now, places):
            for bucket, amount in spent.items():
                book = self._open(bucket, now)
                if bucket.unit == "concurrent":
                    places[book.id] = max(0.0, places.get(book.id, 0.0) + amount)
                else:
                    self._run("UPDATE books SET used = MAX(0.0, used + ?) WHERE id = ?", amount, book.id)
                self._release(book.id, amount)
            for bucket, amount in unspent.items():
                self._release(self._open(bucket, now).id, amount)
        self._places = {book: amount for book, amount in places.items() if amount}

    def correct(self, sightings: Sequence[Sighting], now: float) -> None:
        """Other workers' slices stay until they end, a second at most: they may be spent already."""
        with self._writing(now):
            for sighting in sightings:
                for bucket in self._meant(sighting):
                    book = self._open(bucket, now)
                    book.correct(sighting, now)
                    self._save(book)
                    self._run("DELETE FROM leases WHERE book = ? AND worker = ?", book.id, self._worker)

    def usage(self, buckets: Sequence[Bucket], now: float) -> Mapping[Bucket, float]:
        with self._transaction("BEGIN"):
            return {bucket: book.gone if (book := self._find(bucket, now)) else 0.0 for bucket in buckets}

    # ---- books ----------------------------------------------------------------------------------

    def _open(self, bucket: Bucket, now: float) -> Row:
        """The book of a bucket in its current window; begun if it is not there."""
        book = self._find(bucket, now)
        if book is None:
            self._run(
                "INSERT INTO books (scope, unit, window, declared, used, ends) VALUES (?, ?, ?, ?, 0, -1e300)",
                *key_of(bucket),
                bucket.limit,
            )
            book = self._find(bucket, now)
            assert book is not None
        self._save(book)
        return book

    def _find(self, bucket: Bucket, now: float) -> Row | None:
        query = "SELECT id, used, ends, stated FROM books WHERE scope = ? AND unit = ? AND window = ?"
        found = self._run(query, *key_of(bucket)).fetchone()
        if found is None:
            return None
        book = Row.of(bucket)
        book.id, book.used, book.ends, book.stated = found
        leases = self._run("SELECT ends, amount FROM leases WHERE book = ? ORDER BY ends", book.id)
        book.leases = [Lease(*row) for row in leases]
        book.roll(now)
        if bucket.unit == "concurrent":
            query = "SELECT COALESCE(SUM(amount), 0) FROM places WHERE book = ? AND ends > ?"
            [book.used] = self._run(query, book.id, now).fetchone()
        return book

    def _save(self, book: Row) -> None:
        values = (book.limit, book.used, book.ends, book.stated, book.id)
        self._run("UPDATE books SET declared = ?, used = ?, ends = ?, stated = ? WHERE id = ?", *values)

    def _meant(self, sighting: Sighting) -> Sequence[Bucket]:
        query = "SELECT scope, unit, declared, window FROM books WHERE scope = ? AND unit = ?"
        found = (Bucket(*row) for row in self._run(query, sighting.scope, sighting.unit).fetchall())
        return [bucket for bucket in found if same_window(sighting.window, bucket.window)]

    def _release(self, book: int, amount: float) -> None:
        """Take leases of this worker back, the earliest end first."""
        query = "SELECT rowid, amount FROM leases WHERE book = ? AND worker = ? ORDER BY ends"
        leases = self._run(query, book, self._worker).fetchall() if amount > 0 else []
        for lease, lent in leases:
            if lent > amount:
                self._run("UPDATE leases SET amount = amount - ? WHERE rowid = ?", amount, lease)
                return
            amount -= lent
            self._run("DELETE FROM leases WHERE rowid = ?", lease)

    # ---- transactions ---------------------------------------------------------------------------

    @contextmanager
    def _writing(self, now: float, places: Mapping[int, float] | None = None) -> Iterator[None]:
        """A transaction that begins by clearing away what has ended, and ends with a sign of life."""
        with self._transaction():
            self._run("DELETE FROM leases WHERE ends <= ?", now)
            self._run("DELETE FROM places WHERE ends <= ? OR ends > ?", now, now + 2 * SILENCE)
            yield
            if places is not None or now - self._signed >= SIGN:
                self._sign(self._places if places is None else places, now)

    def _sign(self, places: Mapping[int, float], now: float) -> None:
        self._signed = now
        for book, amount in places.items():
            row = (book, self._worker, amount, now + SILENCE)
            self._run("INSERT OR REPLACE INTO places VALUES (?, ?, ?, ?)", *row)

    @contextmanager
    def _transaction(self, begin: str = "BEGIN IMMEDIATE") -> Iterator[None]:
        self._run(begin)
        try:
            yield
            self._run("COMMIT")
        except BaseException:
            if self._database.in_transaction:  # some errors end it by themselves
                self._run("ROLLBACK")
            raise

    def _run(self, statement: str, *values: object) -> sqlite3.Cursor:
        return self._database.execute(statement, values)
