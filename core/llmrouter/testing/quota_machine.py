"""Any history of a quota store, beside a model of what it should know."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from itertools import count
from typing import Any

import pytest
from attrs import define, field
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from llmrouter.protocols import Clock, QuotaStore
from llmrouter.quota import window
from llmrouter.types import Ask, Bucket, Exhausted, Granted

from .clock import VirtualLoop

START = 1_000_000_000.0
BUCKETS = [
    Bucket("group:a", "requests", 6, "5s"),
    Bucket("group:a", "tokens", 1_000, "minute"),
    Bucket("client:b", "usd", 0.5, "2s"),
    Bucket("client:b", "concurrent", 3, ""),
]
NEAR = 1e-6


@define
class Lent:
    worker: int
    ends: float
    amount: float


@define(eq=False)
class Account:
    """What a store should know of one bucket."""

    bucket: Bucket
    used: float = 0.0
    ends: float = START
    lent: list[Lent] = field(factory=list)

    def at(self, now: float) -> Account:
        self.lent = [one for one in self.lent if one.ends > now]
        if now >= self.ends:
            self.used, self.ends = 0.0, window(self.bucket.window).bounds(now)[1]
        return self

    @property
    def gone(self) -> float:
        return self.used + sum(one.amount for one in self.lent)

    def of(self, worker: int) -> float:
        return sum(one.amount for one in self.lent if one.worker == worker)

    def take_back(self, worker: int, amount: float) -> None:
        for one in sorted(self.lent, key=lambda one: one.ends):
            if one.worker == worker:
                part = min(amount, one.amount)
                one.amount, amount = one.amount - part, amount - part
        self.lent = [one for one in self.lent if one.amount]


_WORKERS = st.integers(0, 2)
_BUCKETS = st.sampled_from(range(len(BUCKETS)))
_PARTS = st.sampled_from([0.01, 0.17, 0.34, 0.5, 1.0])
_ASKS = st.dictionaries(_BUCKETS, _PARTS, min_size=1)


def _amount(bucket: Bucket, part: float) -> float:
    whole = bucket.limit * part
    return whole if bucket.unit == "usd" else max(1.0, round(whole))


def prove(make: Callable[[int, Clock], Any], workers: int) -> None:
    """Run the machine. `make` opens a store by the number of its history: one number, one set of counts."""
    histories = count()

    class History(Machine):
        def __init__(self) -> None:
            number = next(histories)
            super().__init__(lambda clock: make(number, clock), workers)

    checks = [HealthCheck.too_slow, HealthCheck.data_too_large]
    run_state_machine_as_test(
        History,
        settings=settings(max_examples=40, stateful_step_count=30, deadline=None, suppress_health_check=checks),
    )


class Machine(RuleBasedStateMachine):
    """Workers that ask, spend, give back, lose and wait, in any order."""

    def __init__(self, make: Callable[[Clock], Any], workers: int) -> None:
        super().__init__()
        self.loop = VirtualLoop(START)
        self.make, self.stack = make, AsyncExitStack()
        self.stores: list[QuotaStore] = [self.opened() for _ in range(workers)]
        self.accounts = [Account(bucket) for bucket in BUCKETS]

    def opened(self) -> Any:
        made = self.make(self.loop.time)
        return self.call(self.stack.enter_async_context(made)) if hasattr(made, "__aenter__") else made

    def call(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(work)

    def account(self, index: int) -> Account:
        return self.accounts[index].at(self.loop.now)

    def teardown(self) -> None:
        self.call(self.stack.aclose())
        self.loop.close()

    @rule(worker=_WORKERS, parts=_ASKS)
    def ask(self, worker: int, parts: dict[int, float]) -> None:
        worker %= len(self.stores)
        accounts = [self.account(index) for index in parts]
        asks = [
            Ask(one.bucket, _amount(one.bucket, part)) for one, part in zip(accounts, parts.values(), strict=True)
        ]
        answer = self.call(self.stores[worker].grant(asks))
        if isinstance(answer, Exhausted):
            [(ask, account)] = [
                pair for pair in zip(asks, accounts, strict=True) if pair[0].bucket == answer.bucket
            ]
            assert account.gone + ask.amount > ask.bucket.limit, "refused, and it was there"
            assert answer.retry_at > self.loop.now
            return
        assert isinstance(answer, Granted)
        for ask, account, amount in zip(asks, accounts, answer.amounts, strict=True):
            assert amount >= ask.amount - NEAR
            assert account.gone + amount <= ask.bucket.limit + NEAR, "more was lent than there is"
            account.lent.append(Lent(worker, self.loop.now + answer.ttl, amount))

    @rule(worker=_WORKERS, index=_BUCKETS, part=_PARTS)
    def spend(self, worker: int, index: int, part: float) -> None:
        self.settle(worker, index, self.account(index).of(worker % len(self.stores)) * part)

    @rule(worker=_WORKERS, index=_BUCKETS, part=_PARTS)
    def spend_too_much(self, worker: int, index: int, part: float) -> None:
        account = self.account(index)
        self.settle(worker, index, account.of(worker % len(self.stores)) + _amount(account.bucket, part))

    @rule(worker=_WORKERS, index=_BUCKETS, part=_PARTS)
    def correct_an_estimate(self, worker: int, index: int, part: float) -> None:
        if BUCKETS[index].unit != "concurrent":  # a worker gives back no place that is another's
            self.settle(worker, index, -_amount(BUCKETS[index], part))

    def settle(self, worker: int, index: int, amount: float) -> None:
        worker %= len(self.stores)
        account = self.account(index)
        self.call(self.stores[worker].settle({account.bucket: amount}, {}))
        account.used = max(0.0, account.used + amount)
        account.take_back(worker, max(0.0, amount))

    @rule(worker=_WORKERS, index=_BUCKETS, part=_PARTS)
    def give_back(self, worker: int, index: int, part: float) -> None:
        worker %= len(self.stores)
        account = self.account(index)
        amount = account.of(worker) * part
        self.call(self.stores[worker].settle({}, {account.bucket: amount}))
        account.take_back(worker, amount)

    @rule(worker=_WORKERS)
    def lose_a_worker(self, worker: int) -> None:
        """Its store is opened again, as by a new process; what it held is nobody's until it ends."""
        worker %= len(self.stores)
        if len(self.stores) == 1 or self.accounts[-1].used:
            return
        self.stores[worker] = self.opened()
        for account in self.accounts:
            for one in account.lent:
                one.worker = -1 if one.worker == worker else one.worker

    @rule(seconds=st.sampled_from([0.05, 0.3, 0.7, 1.0, 2.0, 4.0, 60.0]))
    def wait(self, seconds: float) -> None:
        while seconds > 0:
            self.loop.now += min(seconds, 3.0)
            seconds -= 3.0
            for store in self.stores:
                self.call(store.settle({}, {}))

    @invariant()
    def what_is_gone_is_what_was_spent_and_lent(self) -> None:
        expected = {account.bucket: account.at(self.loop.now).gone for account in self.accounts}
        for store in self.stores:
            assert self.call(store.usage(BUCKETS)) == pytest.approx(expected, abs=NEAR)


Machine.TestCase = None  # type: ignore[assignment]
