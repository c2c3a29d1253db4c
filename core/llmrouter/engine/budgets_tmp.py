from __future__ import annotations

from attrs import define

from llmrouter.protocols import Clock
from llmrouter.settings import EngineSettings, RetryBudgetSettings

from .budget import RetryBudget


class HedgeBudget:
    def __init__(self, settings, clock):
        self._count = RetryBudget(RetryBudgetSettings(ratio=settings.budget, per_second=0.0, burst=settings.burst), clock)

    def deposit(self):
        self._count.deposit()

    def spent(self, usd):
        pass

    def withdraw(self, usd):
        return self._count.withdraw(1.0)


@define
class GroupBudget:
    retries: RetryBudget
    hedges: HedgeBudget

    def deposit(self):
        self.retries.deposit()
        self.hedges.deposit()


class Budgets:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._all = {}

    def of(self, group: str, settings: EngineSettings) -> GroupBudget:
        if group not in self._all:
            self._all[group] = GroupBudget(RetryBudget(settings.retry_budget, self._clock), HedgeBudget(settings.hedge, self._clock))
        return self._all[group]
