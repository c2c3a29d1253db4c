"""Holds on scopes: cool-downs, quarantines, and plugins that make mistakes."""

from __future__ import annotations

import logging
import random
from collections import deque
from collections.abc import Container

from attrs import define, field

from llmrouter.types import Account, Endpoint, Failure

from .scopes import scopes
from .table import TABLE

FAULT_WINDOW = 60.0
"""Seconds within which the faults of a plugin are counted together."""
BY_RULE = "cooling"
"""Reason of a hold that an operator's rule makes where the class has none."""


@define
class Cooling:
    """A hold on one scope, and how many in a row there were."""

    until: float
    reason: str
    streak: int = 0


@define(eq=False)
class Coolings:
    """The holds of all scopes, by their names."""

    random: random.Random
    log: logging.Logger
    _held: dict[str, Cooling] = field(factory=dict)
    _faults: dict[str, deque[float]] = field(factory=dict)

    def get(self, name: str) -> Cooling | None:
        return self._held.get(name)

    def put(self, name: str, until: float, reason: str) -> None:
        self._held[name] = Cooling(until, reason)

    def end(self, name: str, reason: str) -> None:
        """End the hold that a scope has for this reason."""
        cooling = self._held.get(name)
        if cooling and cooling.reason == reason:
            del self._held[name]

    def failure(self, name: str, failure: Failure, began: float, now: float) -> bool:
        """An attempt that began then has failed: whether its scope is held for it."""
        rule = TABLE[failure.kind]
        if not (rule.hold if failure.hold is None else failure.hold):
            return False
        if failure.hold is None and rule.faults > 1 and self._count(name, now) < rule.faults:
            return False
        cooling = self._held.get(name)
        is_new = cooling is None or now >= cooling.until
        if cooling is None:
            cooling = self._held[name] = Cooling(0.0, "")
        elif began >= cooling.until:  # what was under way before belongs to the hold that was
            cooling.streak += 1
        seconds = rule.hold_for(failure, now, cooling.streak, self.random)
        if now + seconds > cooling.until:
            cooling.until, cooling.reason = now + seconds, rule.hold or BY_RULE
        if is_new and rule.alert:
            self.log.error("%s is held for %.0f minutes: %s", name, seconds / 60, failure.kind)
        return True

    def success(self, endpoint: Endpoint, account: Account) -> None:
        """An answer: the next hold of each of its scopes is shorter."""
        if self._held or self._faults:
            for name in scopes(endpoint, account):
                if cooling := self._held.get(name):
                    cooling.streak //= 2
                self._faults.pop(name, None)

    def forget(self, wanted: Container[str]) -> None:
        """Drop all but these."""
        self._held = {name: one for name, one in self._held.items() if name in wanted}
        self._faults.clear()

    def _count(self, name: str, now: float) -> int:
        faults = self._faults.setdefault(name, deque())
        faults.append(now)
        while faults[0] <= now - FAULT_WINDOW:
            faults.popleft()
        return len(faults)
