"""How much may be done twice: a share of the traffic of late, so that repeats and hedges cannot pile up."""

from __future__ import annotations

from collections import deque

from attrs import frozen

from llmrouter.protocols import Clock
from llmrouter.recent import Recent
from llmrouter.settings import EngineSettings, HedgeSettings, RetryBudgetSettings

SLOTS = 10
"""Parts of a window in which deposits expire together."""
NEAR = 1e-9
HEDGE_TTL = 10.0
SPEND_TTL = 600.0
"""Seconds. Longer than for requests: what an answer cost is known at its end, which may be minutes after it."""
MOST_GROUPS = 1_000


class Pool:
    """Deposits that expire, and a floor under them: what it lends is paid back by the next deposits."""

    def __init__(self, clock: Clock, ttl: float) -> None:
        self.lent = 0.0
        self._clock, self._ttl = clock, ttl
        self._slots: deque[list[float]] = deque()  # [when it began, what is left of its deposits]
        self._deposited = self._slot_until = 0.0

    def deposit(self, amount: float) -> None:
        if self.lent:
            paid = min(self.lent, amount)
            self.lent -= paid
            amount -= paid
        now = self._clock()
        if now >= self._slot_until or not self._slots:
            self._expire(now)
            self._slots.append([now, 0.0])
            self._slot_until = now + self._ttl / SLOTS
        self._slots[-1][1] += amount
        self._deposited += amount

    def affords(self, amount: float, floor: float) -> bool:
        """Whether an amount is there, with what the floor may still lend."""
        return self.lent + max(0.0, amount - self.deposited) <= floor + NEAR

    def take(self, amount: float) -> None:
        """Take what is afforded, from the oldest deposits first."""
        while amount > 0 and self._slots:
            part = min(amount, self._slots[0][1])
            self._slots[0][1] -= part
            self._deposited -= part
            amount -= part
            if amount > 0:
                self._slots.popleft()
        self.lent += amount

    @property
    def deposited(self) -> float:
        self._expire(self._clock())
        return max(0.0, self._deposited)

    def _expire(self, now: float) -> None:
        while self._slots and self._slots[0][0] < now - self._ttl:
            self._deposited -= self._slots.popleft()[1]
        if not self._slots:
            self._deposited = 0.0


class RetryBudget:
    """Requests deposit, repeats withdraw. The floor fills with time: below it a repeat is always affordable."""

    def __init__(self, settings: RetryBudgetSettings, clock: Clock) -> None:
        self._settings, self._clock = settings, clock
        self._pool = Pool(clock, settings.ttl)
        self._filled_at = clock()

    def deposit(self) -> None:
        """A request came."""
        self._pool.deposit(self._settings.ratio)

    def withdraw(self, amount: float) -> bool:
        """Take an amount. False, and nothing taken: it is not there."""
        self._fill()
        if not self._pool.affords(amount, self._settings.burst):
            return False
        self._pool.take(amount)
        return True

    @property
    def balance(self) -> float:
        self._fill()
        return self._pool.deposited + self._settings.burst - self._pool.lent

    def _fill(self) -> None:
        now = self._clock()
        self._pool.lent = max(0.0, self._pool.lent - (now - self._filled_at) * self._settings.per_second)
        self._filled_at = now


class HedgeBudget:
    """Hedges are a share of the requests and of what they cost; `burst` of them need neither, to begin with.

    Their floor does not fill with time, only with traffic: over hours the share holds for a group that is hardly
    used, too.
    """

    def __init__(self, settings: HedgeSettings, clock: Clock) -> None:
        self._settings = settings
        self._requests, self._spend = Pool(clock, HEDGE_TTL), Pool(clock, SPEND_TTL)

    def deposit(self) -> None:
        """A request came."""
        self._requests.deposit(self._settings.budget)

    def spent(self, usd: float) -> None:
        """An answer was paid for."""
        self._spend.deposit(self._settings.budget * usd)

    def withdraw(self, usd: float) -> bool:
        """Take one hedge that may cost so much. False, and nothing taken: requests or spend do not cover it."""
        burst = self._settings.burst
        if not self._requests.affords(1.0, burst):
            return False
        if usd and not self._spend.affords(usd, burst * usd):
            return False
        self._requests.take(1.0)
        self._spend.take(usd)
        return True


@frozen(eq=False)
class Budget:
    """What one group may do twice."""

    settings: tuple[RetryBudgetSettings, HedgeSettings]
    retries: RetryBudget
    hedges: HedgeBudget


class Budgets:
    """The budgets of groups by their names, each with the settings that its group has now."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._kept: Recent[str, Budget] = Recent(MOST_GROUPS)

    def of(self, group: str, settings: EngineSettings) -> Budget:
        """What was deposited before a reload stays, unless the reload changed these settings."""
        kept, wanted = self._kept.get(group), (settings.retry_budget, settings.hedge)
        if kept is None or kept.settings != wanted:
            retries, hedges = RetryBudget(wanted[0], self._clock), HedgeBudget(wanted[1], self._clock)
            kept = Budget(wanted, retries, hedges)
            self._kept.put(group, kept)
        return kept
