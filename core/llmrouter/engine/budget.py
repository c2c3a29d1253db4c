"""How many repeats may be made: a share of the traffic of the last seconds, so that they cannot pile up."""

from __future__ import annotations

from collections import deque

from llmrouter.protocols import Clock
from llmrouter.settings import RetryBudgetSettings


class RetryBudget:
    """Requests deposit, repeats withdraw; deposits expire. Below the floor a repeat is always affordable."""

    def __init__(self, settings: RetryBudgetSettings, clock: Clock) -> None:
        self._settings, self._clock = settings, clock
        self._deposits: deque[tuple[float, float]] = deque()  # (second, what its requests deposited)
        self._deposited = 0.0
        self._floor = settings.burst
        self._filled_at = clock()

    def deposit(self) -> None:
        """A request came."""
        second = float(int(self._clock()))
        if self._deposits and self._deposits[-1][0] == second:
            self._deposits[-1] = (second, self._deposits[-1][1] + self._settings.ratio)
        else:
            self._deposits.append((second, self._settings.ratio))
        self._deposited += self._settings.ratio

    def withdraw(self, amount: float) -> bool:
        """Take an amount, from the deposits first. False, and nothing taken: it is not there."""
        self._refresh()
        if amount > self._deposited + self._floor:
            return False
        from_floor = max(0.0, amount - self._deposited)
        self._floor -= from_floor
        self._take(amount - from_floor)
        return True

    @property
    def balance(self) -> float:
        self._refresh()
        return self._deposited + self._floor

    def _take(self, amount: float) -> None:
        self._deposited -= amount
        while amount > 0 and self._deposits:
            second, held = self._deposits[0]
            if held > amount:
                self._deposits[0] = (second, held - amount)
                return
            self._deposits.popleft()
            amount -= held

    def _refresh(self) -> None:
        now, settings = self._clock(), self._settings
        self._floor = min(settings.burst, self._floor + (now - self._filled_at) * settings.per_second)
        self._filled_at = now
        while self._deposits and self._deposits[0][0] < now - settings.ttl:
            self._deposited -= self._deposits.popleft()[1]
        if not self._deposits:
            self._deposited = 0.0
