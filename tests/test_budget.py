from __future__ import annotations

from llmrouter.engine.budget import RetryBudget
from llmrouter.settings import RetryBudgetSettings


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
