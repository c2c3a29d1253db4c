from __future__ import annotations

from llmrouter.engine.budget import Budgets, HedgeBudget, RetryBudget
from llmrouter.settings import EngineSettings, HedgeSettings, RetryBudgetSettings


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def withdrawn(budget: RetryBudget, most: int = 1_000) -> int:
    return next((count for count in range(most) if not budget.withdraw(1.0)), most)


def test_a_burst_is_there_from_the_start_and_fills_again() -> None:
    clock = Clock()
    budget = RetryBudget(RetryBudgetSettings(), clock)
    assert withdrawn(budget) == 10
    clock.now += 3
    assert withdrawn(budget) == 3
    clock.now += 100
    assert withdrawn(budget) == 10


def test_requests_deposit_their_share() -> None:
    clock = Clock()
    budget = RetryBudget(RetryBudgetSettings(burst=0), clock)
    for _ in range(100):
        budget.deposit()
    assert withdrawn(budget) in (19, 20)


def test_deposits_expire() -> None:
    clock = Clock()
    budget = RetryBudget(RetryBudgetSettings(burst=0, per_second=0), clock)
    for _ in range(10):
        budget.deposit()
        clock.now += 2
    assert budget.balance == 1.0  # those of the last ten seconds
    clock.now += 20
    assert budget.balance == 0.0


def test_years_without_a_repeat_leave_nothing_behind() -> None:
    clock = Clock()
    budget = RetryBudget(RetryBudgetSettings(), clock)
    for _ in range(10_000):
        budget.deposit()
        clock.now += 1
    assert len(budget._pool._slots) < 15


def test_what_is_not_there_is_not_taken_in_part() -> None:
    budget = RetryBudget(RetryBudgetSettings(burst=0.75), Clock())
    assert not budget.withdraw(1.0)
    assert budget.withdraw(0.5)
    assert budget.balance == 0.25


def test_an_outage_cannot_be_answered_with_more_than_a_fifth_of_repeats() -> None:
    clock = Clock()
    budget = RetryBudget(RetryBudgetSettings(), clock)
    repeats = 0
    for _ in range(6_000):  # a minute of 100 requests a second, each of which would like to be repeated
        budget.deposit()
        repeats += budget.withdraw(1.0)
        clock.now += 0.01
    assert repeats <= 6_000 * 0.2 + 60 + 10


# ---- hedges


def hedges(budget: HedgeBudget, requests: int, usd: float, *, every: float = 0.1, clock: Clock) -> int:
    """How many of these requests could hedge, when each would like to and costs so much."""
    made = 0
    for _ in range(requests):
        budget.deposit()
        made += budget.withdraw(usd)
        budget.spent(usd)
        clock.now += every
    return made


def test_the_first_requests_can_hedge_too() -> None:
    budget = HedgeBudget(HedgeSettings(), Clock())
    assert [budget.withdraw(0.01) for _ in range(4)] == [True, True, True, False]


def test_a_twentieth_of_the_requests_may_hedge_however_rare_they_are() -> None:
    for every in (0.001, 0.1, 4.0, 60.0):
        clock = Clock()
        assert hedges(HedgeBudget(HedgeSettings(), clock), 2_000, 0.0, every=every, clock=clock) in (102, 103)


def test_hedges_are_a_twentieth_of_what_is_spent_too() -> None:
    clock = Clock()
    budget = HedgeBudget(HedgeSettings(), clock)
    dear = 0
    for _ in range(2_000):
        budget.deposit()
        dear += budget.withdraw(0.10)
        budget.spent(0.01)
        clock.now += 0.1
    assert dear * 0.10 <= 2_000 * 0.01 * 0.05 + 3 * 0.10
    assert dear > 3


def test_hedges_that_were_not_made_cannot_be_made_all_at_once_later() -> None:
    clock = Clock()
    budget = HedgeBudget(HedgeSettings(), clock)
    for _ in range(1_000):
        budget.deposit()
        budget.spent(1.0)
        clock.now += 1.0
    assert sum(budget.withdraw(0.001) for _ in range(100)) == 3


def test_what_an_answer_cost_counts_for_minutes() -> None:
    clock = Clock()
    budget = HedgeBudget(HedgeSettings(burst=0), clock)
    budget.spent(10.0)
    clock.now += 300
    for _ in range(40):
        budget.deposit()
    assert budget.withdraw(0.4)
    assert not budget.withdraw(0.2)
    clock.now += 400
    for _ in range(20):
        budget.deposit()
    assert not budget.withdraw(0.05)


# ---- groups


def test_groups_have_budgets_of_their_own() -> None:
    budgets, settings = Budgets(Clock()), EngineSettings()
    assert withdrawn(budgets.of("a", settings).retries) == 10
    assert withdrawn(budgets.of("a", EngineSettings()).retries) == 0
    assert withdrawn(budgets.of("b", settings).retries) == 10


def test_other_settings_are_another_budget() -> None:
    budgets = Budgets(Clock())
    assert withdrawn(budgets.of("a", EngineSettings()).retries) == 10
    changed = EngineSettings(retry_budget=RetryBudgetSettings(burst=2))
    assert withdrawn(budgets.of("a", changed).retries) == 2


def test_groups_that_nobody_asks_for_are_forgotten() -> None:
    budgets = Budgets(Clock())
    for number in range(1_100):
        budgets.of(f"group {number}", EngineSettings())
    assert len(budgets._kept) == 1_000
