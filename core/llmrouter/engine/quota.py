"""Quota as one worker holds it: slices lent by the store and spent here without asking again.

What is taken is reported in batches, well before the slice it came from ends, and corrected by a delta when its
request ends. So the store never takes back what was spent, and what it lent to a worker that died comes back.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Literal

import msgspec

from llmrouter.protocols import Clock, QuotaStore, Reservation
from llmrouter.types import Ask, Bucket, Exhausted, Sighting, Unit

from .holding import CLOSE, MARGIN, Holdings

PERIOD = 0.2
"""Seconds between two reports to the store."""
LOOK = 1.0
"""Seconds between two questions how much is left, and between two signs of life."""
PATIENCE = 0.5
"""Seconds that the store may take to answer."""
REST = 5.0
"""Seconds for which a store that failed is left alone."""
TRIES = 8
FORGET = 600.0
"""Seconds after which a bucket that nobody looks at is forgotten."""

log = logging.getLogger("llmrouter.quota")


class Nothing:
    """The reservation of a request without limits."""

    def close(self, spent: Mapping[Unit, float] | None) -> None:
        pass


NOTHING = Nothing()


class Taken(msgspec.Struct, eq=False):
    """A reservation: owned by whoever asked, closed exactly once; closing never waits."""

    quota: Quota
    asks: Sequence[Ask]
    since: float

    def close(self, spent: Mapping[Unit, float] | None) -> None:
        """Book what was spent, by unit, and give the rest back. None: unknown, the estimate stands."""
        quota, asks = self.quota, self.asks
        try:
            quota._open.remove(self)
        except KeyError:
            raise AssertionError("a reservation is closed once") from None
        if spent is None:  # places come back whatever was spent
            asks, spent = [ask for ask in asks if ask.bucket.unit == "concurrent"], {}
        now = 0.0  # asked for where there is something to book
        for ask in asks:
            bucket = ask.bucket
            delta = spent.get(bucket.unit, 0.0) - ask.amount
            if delta:
                now = now or quota._clock()
                quota._holdings[bucket].book(delta, self.since, now)
        if quota._asleep:
            quota._stirred.set()


class Quota:
    """Reserves for requests. `fail` says what becomes of them while the store cannot be reached.

    open: they are let through, and what they spend is booked when the store is back.
    """

    def __init__(self, store: QuotaStore, clock: Clock, fail: Literal["open", "closed"]) -> None:
        self._store, self._clock, self._fail = store, clock, fail
        self._holdings = Holdings()
        self._open: set[Taken] = set()  # what is reserved and not closed
        self._sightings: list[Sighting] = []
        self._store_lock = asyncio.Lock()
        self._telling: asyncio.Task[None] | None = None
        self._asleep = False  # until there may be something to tell, or to ask
        self._stirred = asyncio.Event()
        self._trouble = ""
        self._rests_until = self._reported = self._looked = self._swept = clock()

    @property
    def state(self) -> str:
        """ "ok", or what is wrong with the store."""
        return self._trouble or "ok"

    # ---- requests -------------------------------------------------------------------------------

    async def reserve(self, asks: Sequence[Ask]) -> Reservation | Exhausted:
        """Take all that is asked, or nothing. Waits only when what this worker holds is not enough."""
        return self.take(asks) or self._refused(asks) or await self._ask(asks)

    def take(self, asks: Sequence[Ask], now: float | None = None) -> Reservation | None:
        """Take all that is asked, if this worker holds it. None: nothing is taken, and `reserve` may get it."""
        if not asks:
            return NOTHING
        if now is None:
            now = self._clock()
        if not self._holdings.take(asks, now):
            return None
        if self._asleep:
            self._stirred.set()
        taken = Taken(self, asks, now)
        self._open.add(taken)
        return taken

    def headroom(self, accounts: Iterable[Sequence[Bucket]], now: float | None = None) -> float:
        """0…1: what the best of some accounts has left of its tightest bucket, from what this worker knows."""
        now, holdings, best = self._clock() if now is None else now, self._holdings, 0.0
        for buckets in accounts:
            least = 1.0
            for bucket in buckets:
                holding = holdings[bucket]
                holding.seen = True
                if now >= holding.until:
                    holding.turn(now)
                share = (holding.known - holding.taken) / holding.whole
                if share < least:
                    least = share
            if least > best:
                best = least
        if self._asleep and holdings:
            self._stirred.set()
        return best

    def sight(self, sightings: Sequence[Sighting]) -> None:
        """Take in limits as a provider states them. Of buckets that nobody declared they mean nothing."""
        now = self._clock()
        for sighting in sightings:
            found = [one for one in self._holdings.meant(sighting) if one.is_news(sighting, now)]
            for holding in found:
                holding.sight(sighting, now)
            if found:
                self._sightings.append(sighting)
                self._stirred.set()

    def _refused(self, asks: Sequence[Ask]) -> Exhausted | None:
        now = self._clock()
        for ask in asks:
            holding = self._holdings[ask.bucket]
            if holding.refuses(holding.short(ask.amount), now):
                return holding.refusal
        return None

    # ---- asking the store -----------------------------------------------------------------------

    async def _ask(self, asks: Sequence[Ask]) -> Reservation | Exhausted:
        """One at a time: who had to wait may find what it needs, or that the store has failed."""
        if self._trouble:
            return self._without_store(asks)
        try:
            async with self._store_lock, asyncio.timeout(PATIENCE):
                if not self._trouble:
                    return await self._grant(asks)
        except Exception as error:
            self._failed(error)
        return self._without_store(asks)

    async def _grant(self, asks: Sequence[Ask]) -> Reservation | Exhausted:
        for _ in range(TRIES):
            if taken := self.take(asks) or self._refused(asks):
                return taken
            await self._correct()
            holdings, before = self._holdings, self._clock()
            short = [
                Ask(a.bucket, missing) for a in asks if (missing := holdings[a.bucket].short(a.amount)) > CLOSE
            ]
            answer = await self._store.grant(short)
            self._answered()
            if isinstance(answer, Exhausted):
                amount = next(ask.amount for ask in short if ask.bucket == answer.bucket)
                holdings[answer.bucket].refuse(amount, answer, self._clock())
                return answer
            for ask, amount in zip(short, answer.amounts, strict=True):
                holdings[ask.bucket].add(amount, before + answer.ttl - min(MARGIN, answer.ttl / 2))
        raise RuntimeError("the quota store grants less than it was asked for, or too late")

    def _without_store(self, asks: Sequence[Ask]) -> Reservation | Exhausted:
        now = self._clock()
        if self._fail == "closed":
            return Exhausted(asks[0].bucket, max(self._rests_until, now) + PERIOD)
        for ask in asks:
            self._holdings[ask.bucket].owe(ask.amount, now)
        taken = Taken(self, asks, now)
        self._open.add(taken)
        return taken

    def _failed(self, error: Exception) -> None:
        trouble = f"no answer: {type(error).__name__}"  # its text may hold an address with a password
        if not self._trouble:
            log.warning("the quota store failed (fail: %s): %s", self._fail, trouble)
        self._trouble, self._rests_until = trouble, self._clock() + REST
        self._stirred.set()

    def _answered(self) -> None:
        if self._trouble:
            log.info("the quota store answers again")
        self._trouble = ""

    # ---- telling the store ----------------------------------------------------------------------

    async def run(self) -> None:
        """Report what was spent, until cancelled; also finds out when a store that failed is back.

        Sleeps while nothing happens: an idle router does not wake, and a simulated one jumps to what comes next.
        """
        while True:
            if self._is_quiet():
                await self._sleep()
            await asyncio.sleep(PERIOD)
            await self._report()

    async def _sleep(self) -> None:
        self._stirred.clear()
        self._asleep = True  # where it is false nobody waits for the event, so most requests need not set it
        await self._stirred.wait()
        self._asleep = False

    def _is_quiet(self) -> bool:
        """Nothing is to be told, asked or kept alive."""
        if self._trouble or self._sightings:
            return False
        if any(held.seen or abs(held.pending) > CLOSE for held in self._holdings.values()):
            return False
        return not self._holds_places()

    def _holds_places(self) -> bool:
        return any(ask.bucket.unit == "concurrent" for taken in self._open for ask in taken.asks)

    async def aclose(self) -> None:
        """Report what is left and give all slices back; in bounded time."""
        with suppress(Exception):
            async with asyncio.timeout(PATIENCE), self._store_lock:
                unspent = {bucket: held.drop() for bucket, held in self._holdings.items() if held.free > CLOSE}
                await self._settle(unspent)
                await self._correct()
        if self._telling:
            self._telling.cancel()
            await asyncio.wait([self._telling])

    async def _report(self) -> None:
        try:
            async with self._store_lock, asyncio.timeout(PATIENCE):
                if self._trouble and self._clock() < self._rests_until:
                    return
                await self._settle({})
                await self._correct()
                await self._look()
        except Exception as error:
            self._failed(error)

    async def _settle(self, unspent: Mapping[Bucket, float]) -> None:
        """Tell what was spent. A call that takes long is waited for and never repeated: it would count twice."""
        while self._telling:
            await asyncio.shield(self._telling)
        now, spent = self._clock(), self._pending()
        if spent or unspent or self._trouble or self._sign_of_life_due(now):
            self._telling = asyncio.create_task(self._tell(spent, unspent, now))
            await asyncio.shield(self._telling)
            self._answered()

    async def _tell(self, spent: Mapping[Bucket, float], unspent: Mapping[Bucket, float], now: float) -> None:
        try:
            await self._store.settle(spent, unspent)
            self._reported = now
        except Exception:
            for bucket, amount in spent.items():
                self._holdings[bucket].untold(amount, now, self._clock())
            raise
        finally:
            self._telling = None

    def _pending(self) -> dict[Bucket, float]:
        now, spent = self._clock(), {}
        for bucket, holding in self._holdings.items():
            if now >= holding.until:
                holding.turn(now)
            if abs(holding.pending) > CLOSE:
                spent[bucket] = holding.report()
        return spent

    def _sign_of_life_due(self, now: float) -> bool:
        return now - self._reported >= LOOK and self._holds_places()

    async def _correct(self) -> None:
        """Hand on what providers said: before anything is asked for, and after what was spent is told."""
        if not self._sightings:
            return
        await self._settle({})
        sightings, self._sightings = self._sightings, []
        try:
            await self._store.correct(sightings)
        except BaseException:
            self._sightings = sightings + self._sightings
            raise

    async def _look(self) -> None:
        """Ask how much is left of what somebody looked at; forget what nobody looks at."""
        now = self._clock()
        if now - self._looked < LOOK:
            return
        self._looked = now
        seen = [bucket for bucket, holding in self._holdings.items() if holding.seen]
        for bucket in seen:
            self._holdings[bucket].seen = False
        if seen:
            for bucket, gone in (await self._store.usage(seen)).items():
                self._holdings[bucket].know(gone)
        if now - self._swept >= FORGET:
            self._swept = now
            self._holdings.forget({ask.bucket for taken in self._open for ask in taken.asks})
