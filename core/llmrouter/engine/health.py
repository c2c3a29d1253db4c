"""What is known of the health of endpoints and accounts: holds, breakers, speed, load.

Process-local by design, and keyed by names, so that it outlives every configuration.
"""

from __future__ import annotations

import math
import random
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from attrs import define, field

from llmrouter.protocols import Clock
from llmrouter.routing import Look
from llmrouter.settings import BreakerSettings
from llmrouter.types import Account, Endpoint, Failure, Hold

from .breaker import Breaker
from .scopes import charged, scopes
from .table import TABLE

DECAY = 10.0
"""Seconds in which a slow answer is forgotten to a third."""

MOST_ENDPOINTS = 5_000


@define
class Cooling:
    """A hold on one scope, and how many in a row there were."""

    until: float
    reason: str
    streak: int = 0


@define
class Seen:
    """One endpoint's load and speed. `ttft` is a peak EWMA: a slow answer counts at once, a fast one slowly."""

    load: int = 0
    turns: int = 0
    ttft: float = 0.0
    at: float = 0.0

    def sample(self, ttft: float, now: float) -> None:
        keep = math.exp(-max(0.0, now - self.at) / DECAY)
        self.ttft = max(ttft, self.ttft * keep + ttft * (1 - keep)) if self.ttft else ttft
        self.at = now


UNSEEN = Seen()


class Ticket:
    """A call in flight. `end` gives back its place and its probe slot; the first call counts."""

    __slots__ = ("_open", "account", "endpoint", "health", "probes")

    def __init__(self, health: Health, endpoint: Endpoint, account: Account, probes: tuple[Breaker, ...]) -> None:
        self.health, self.endpoint, self.account, self.probes = health, endpoint, account, probes
        self._open = True

    def end(self, failure: Failure | None, ttft: float | None) -> None:
        if self._open:
            self._open = False
            self.health.ended(self, failure, ttft)


@define(eq=False)
class Health:
    """Asked before every turn and told after every attempt. `breaker` None never opens a circuit."""

    breaker: BreakerSettings | None
    clock: Clock
    random: random.Random
    _coolings: dict[str, Cooling] = field(factory=dict)
    _breakers: dict[str, Breaker] = field(factory=dict)
    _troubled: set[str] = field(factory=set)  # scopes with a hold, or a circuit that is not closed
    _seen: defaultdict[str, Seen] = field(factory=lambda: defaultdict(Seen))
    _turns: defaultdict[tuple[str, str], int] = field(factory=lambda: defaultdict(int))

    # ---- asking ---------------------------------------------------------------------------------

    def hold(self, endpoint: Endpoint, account: Account) -> Hold | None:
        """What forbids this turn now: of several holds the one that ends last."""
        if not self._troubled:
            return None
        now = self.clock()
        holds = [hold for name in scopes(endpoint, account) if (hold := self._held(name, now))]
        return max(holds, key=lambda hold: hold.until) if holds else None

    def admit(self, endpoint: Endpoint, account: Account) -> Hold | None:
        """The same when a turn is taken: a circuit that has just closed admits a share only."""
        if not self._troubled:
            return None
        if hold := self.hold(endpoint, account):
            return hold
        now = self.clock()
        for name in scopes(endpoint, account):
            if name in self._troubled and name in self._breakers and not self._breakers[name].admits(now):
                return Hold(now, "breaker", name)
        return None

    def look(self, endpoint: Endpoint, headroom: float = 1.0) -> Look:
        """The endpoint at this moment, with the headroom that quota knows of."""
        seen = self._seen.get(endpoint.id, UNSEEN)
        hold = self._endpoint_hold(endpoint) if self._troubled else None
        return Look(seen.ttft, seen.load, seen.turns, headroom, hold)

    def turns(self, endpoint: Endpoint, account: Account) -> int:
        """Calls that began through this account, of all its models."""
        return self._turns[endpoint.provider, account.id]

    def snapshot(self) -> list[Mapping[str, Any]]:
        """Every scope that is held or failing, for status pages."""
        now = self.clock()
        found: list[Mapping[str, Any]] = []
        for name in sorted(self._troubled):
            hold = self._held(name, now)
            breaker = self._breakers.get(name)
            if name in self._troubled:
                line = {
                    "scope": name,
                    "reason": hold.reason if hold else None,
                    "until": hold.until if hold else None,
                }
                found.append({**line, "breaker": breaker.snapshot(now) if breaker else None})
        return found

    # ---- telling --------------------------------------------------------------------------------

    def begin(self, endpoint: Endpoint, account: Account) -> Ticket:
        """A call begins: it is in flight, and the probe of every circuit over it that is half open."""
        if len(self._seen) > MOST_ENDPOINTS:
            self._trim()
        seen = self._seen[endpoint.id]
        seen.load += 1
        seen.turns += 1
        self._turns[endpoint.provider, account.id] += 1
        probes: tuple[Breaker, ...] = ()
        if self._troubled:
            now = self.clock()
            over = (self._breakers.get(name) for name in scopes(endpoint, account) if name in self._troubled)
            probes = tuple(breaker for breaker in over if breaker and breaker.begin(now))
        return Ticket(self, endpoint, account, probes)

    def ended(self, ticket: Ticket, failure: Failure | None, ttft: float | None) -> None:
        """What `Ticket.end` says."""
        now, seen = self.clock(), self._seen[ticket.endpoint.id]
        seen.load -= 1
        if ttft is not None and failure is None:
            seen.sample(ttft, now)
        if failure is None:
            self._good(ticket, now)
        else:
            self._bad(ticket, failure, now)

    def hold_until(self, name: str, until: float, reason: str) -> None:
        """Hold a scope because somebody knows better than its calls: until then, or until `release`."""
        self._coolings[name] = Cooling(until, reason)
        self._troubled.add(name)

    def release(self, name: str, reason: str) -> None:
        """End the hold that a scope has for this reason."""
        cooling = self._coolings.get(name)
        if cooling and cooling.reason == reason:
            del self._coolings[name]

    def _good(self, ticket: Ticket, now: float) -> None:
        if self.breaker:
            self._circuit(f"endpoint:{ticket.endpoint.id}").success(now, self._is_probe(ticket, "endpoint"))
            if provider := self._breakers.get(f"provider:{ticket.endpoint.provider}"):
                provider.success(now, provider in ticket.probes)
        if self._coolings:
            for name in scopes(ticket.endpoint, ticket.account):
                if name in self._coolings:
                    self._coolings[name].streak //= 2

    def _bad(self, ticket: Ticket, failure: Failure, now: float) -> None:
        rule = TABLE[failure.kind]
        name = charged(ticket.endpoint, ticket.account, failure.scope)
        counts = bool(self.breaker and rule.breaker and failure.scope in ("endpoint", "provider"))
        own = self._circuit(name) if counts else None
        for breaker in ticket.probes:
            if breaker is not own and rule.answered and not counts:
                breaker.success(now, True)
            elif breaker is not own:
                breaker.release(True)
        if own:
            own.failure(now, failure.kind, rule.breaker, own in ticket.probes)
            if own.open_until is not None:
                self._troubled.add(name)
        if rule.hold and name:
            self._cool(name, failure, now)

    def _cool(self, name: str, failure: Failure, now: float) -> None:
        """Hold a scope. Failures that were under way when the hold began do not lengthen its next one."""
        rule, cooling = TABLE[failure.kind], self._coolings.get(name)
        if cooling is None:
            cooling = self._coolings[name] = Cooling(0.0, rule.hold)
        elif now >= cooling.until:
            cooling.streak += 1
        seconds = rule.hold_for(failure, now, cooling.streak, self.random)
        if now + seconds > cooling.until:
            cooling.until, cooling.reason = now + seconds, rule.hold
        self._troubled.add(name)

    # ---- inside ---------------------------------------------------------------------------------

    def _held(self, name: str, now: float) -> Hold | None:
        if name not in self._troubled:
            return None
        cooling, breaker = self._coolings.get(name), self._breakers.get(name)
        cool_until = cooling.until if cooling and cooling.until > now else None
        open_until = breaker.held_until(now) if breaker else None
        if cool_until is None and open_until is None:
            if breaker is None or breaker.state(now) == "closed":
                self._troubled.discard(name)
            return None
        if cooling and cool_until is not None and cool_until >= (open_until or 0.0):
            return Hold(cool_until, cooling.reason, name)
        return Hold(open_until or now, "breaker", name)

    def _endpoint_hold(self, endpoint: Endpoint) -> Hold | None:
        earliest: Hold | None = None
        for account in endpoint.accounts:
            hold = self.hold(endpoint, account)
            if hold is None:
                return None
            if earliest is None or hold.until < earliest.until:
                earliest = hold
        return earliest

    def _trim(self) -> None:
        """Names of models come from clients, too: what is idle and well may be forgotten."""
        self._seen = defaultdict(Seen, {id: seen for id, seen in self._seen.items() if seen.load})
        self._breakers = {name: one for name, one in self._breakers.items() if name in self._troubled}
        self._coolings = {name: one for name, one in self._coolings.items() if name in self._troubled}

    def _circuit(self, name: str) -> Breaker:
        found = self._breakers.get(name)
        if found is None:
            assert self.breaker is not None
            found = self._breakers[name] = Breaker(self.breaker, self.random, name.startswith("provider:"))
        return found

    def _is_probe(self, ticket: Ticket, kind: str) -> bool:
        return bool(ticket.probes) and self._circuit(f"{kind}:{ticket.endpoint.id}") in ticket.probes
