"""Any history of requests, repeats and hedges: budgets are never negative, and never give more than they got."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from llmrouter.engine.budget import Budgets, Pool
from llmrouter.settings import EngineSettings, HedgeSettings, RetryBudgetSettings
from tests.machines import prove

NEAR = 1e-6
COSTS = st.sampled_from([0.0, 0.0001, 0.01, 0.3, 2.0])


class BudgetMachine(RuleBasedStateMachine):
    """One group. What came in and what went out is counted beside its budgets."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.start = 1_000_000.0
        self.settings = EngineSettings()
        self.requests = self.hedges = 0
        self.repeated = self.spent = self.hedged = self.dearest = 0.0

    @initialize(ratio=st.sampled_from([0.0, 0.05, 0.2]), burst=st.sampled_from([0.0, 0.75, 3.0, 10.0]))
    def begin(self, ratio: float, burst: float) -> None:
        self.settings = EngineSettings(
            retry_budget=RetryBudgetSettings(ratio=ratio, burst=burst),
            hedge=HedgeSettings(budget=ratio, burst=burst),
        )
        self.budget = Budgets(lambda: self.now).of("all", self.settings)

    @rule(seconds=st.sampled_from([0.01, 0.9, 1.1, 5.0, 11.0, 700.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(times=st.integers(1, 60), usd=COSTS)
    def serve(self, times: int, usd: float) -> None:
        for _ in range(times):
            self.budget.retries.deposit()
            self.budget.hedges.deposit()
            self.budget.hedges.spent(usd)
        self.requests += times
        self.spent += times * usd

    @rule(times=st.integers(1, 20), amount=st.sampled_from([0.5, 1.0]))
    def repeat(self, times: int, amount: float) -> None:
        self.repeated += sum(amount for _ in range(times) if self.budget.retries.withdraw(amount))

    @rule(times=st.integers(1, 20), usd=COSTS)
    def hedge(self, times: int, usd: float) -> None:
        made = sum(self.budget.hedges.withdraw(usd) for _ in range(times))
        self.hedges += made
        self.hedged += made * usd
        self.dearest = max(self.dearest, usd if made else 0.0)

    @invariant()
    def nothing_is_negative(self) -> None:
        hedges = self.budget.hedges
        for pool in (self.budget.retries._pool, hedges._requests, hedges._spend):
            assert pool.deposited >= 0, "negative deposits"
            assert pool._deposited >= -NEAR, "negative deposits"
            assert pool.lent >= 0, "a negative loan"
        assert self.budget.retries.balance >= -NEAR, "a negative balance"

    @invariant()
    def repeats_are_paid_for(self) -> None:
        budget = self.settings.retry_budget
        floor = budget.burst + (self.now - self.start) * budget.per_second
        assert self.repeated <= budget.ratio * self.requests + floor + NEAR, "too many repeats"

    @invariant()
    def hedges_are_paid_for(self) -> None:
        hedge = self.settings.hedge
        assert self.hedges <= hedge.budget * self.requests + hedge.burst + NEAR, "too many hedges"
        assert self.hedged <= hedge.budget * self.spent + hedge.burst * self.dearest + NEAR, "hedges too dear"


def test_budgets_keep_their_promises() -> None:
    prove(BudgetMachine)


# ---- faults that it finds


def withdrawals_that_are_not_checked(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Pool, "affords", lambda self, amount, floor: True)


def a_floor_that_forgets_its_loans(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Pool, "affords", lambda self, amount, floor: amount - self.deposited <= floor)


def deposits_that_are_not_taken(patch: pytest.MonkeyPatch) -> None:
    def take(self: Pool, amount: float) -> None:
        self.lent += max(0.0, amount - self.deposited)

    patch.setattr(Pool, "take", take)


def deposits_that_expire_twice(patch: pytest.MonkeyPatch) -> None:
    expire = Pool._expire

    def twice(self: Pool, now: float) -> None:
        before = self._deposited
        expire(self, now)
        if self._slots:
            self._deposited -= before - self._deposited

    patch.setattr(Pool, "_expire", twice)


FAULTS: list[tuple[Callable[[pytest.MonkeyPatch], None], str]] = [
    (withdrawals_that_are_not_checked, "negative balance|too"),
    (a_floor_that_forgets_its_loans, "negative balance|too"),
    (deposits_that_are_not_taken, "too"),
    (deposits_that_expire_twice, "negative deposits"),
]


@pytest.mark.parametrize(("plant", "found"), FAULTS, ids=[plant.__name__ for plant, _ in FAULTS])
def test_a_fault_in_a_budget_is_found(
    plant: Callable[[pytest.MonkeyPatch], None], found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch)
    with pytest.raises(AssertionError, match=found):
        prove(BudgetMachine, 300, quick=True)


BudgetMachine.TestCase = None  # type: ignore[assignment]
