"""What is known of the health of endpoints and accounts: holds, breakers, speed, load.

Process-local by design, and keyed by names, so that it outlives every configuration.
"""

from __future__ import annotations

import logging
import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from attrs import define, field

from llmrouter.protocols import Clock
from llmrouter.routing import Look
from llmrouter.settings import BreakerSettings
from llmrouter.types import Account, Endpoint, Failure, Hold

from .breaker import Breaker
from .circuits import Circuits
from .cooling import Coolings
from .probe_lock import NoLock, ProbeLock
from .scopes import charged, scopes
from .speed import Seen
from .table import TABLE
from .ticket import Ticket

MOST_ENDPOINTS = 5_000
UNSEEN = Seen()


@define(eq=False)
class Health:
    """Asked before every turn and told after every attempt. `breaker` None never opens a circuit."""

    breaker: BreakerSettings | None
    clock: Clock
    random: random.Random
    lock: ProbeLock = field(factory=NoLock)
    log: logging.Logger = field(factory=lambda: logging.getLogger("llmrouter"))
    _coolings: Coolings = field(init=False)
    _circuits: Circuits = field(init=False)
    _troubled: set[str] = field(factory=set)  # scopes with a hold, or a circuit that is not closed
    _seen: dict[str, Seen] = field(factory=dict)
    _turns: defaultdict[tuple[str, str], int] = field(factory=lambda: defaultdict(int))

    def __attrs_post_init__(self) -> None:
        self._coolings = Coolings(self.random, self.log)
        self._circuits = Circuits(self.breaker, self.random, self.lock)

    # ---- asking ---------------------------------------------------------------------------------

    def hold(self, endpoint: Endpoint, account: Account) -> Hold | None:
        """What forbids this turn now: of several holds the one that ends last. A look, without a trace."""
        return self._hold(endpoint, account, self.clock()) if self._troubled else None

    def look(self, endpoint: Endpoint, headroom: float = 1.0) -> Look:
        """The endpoint at this moment, with the headroom that quota knows of."""
        seen = self._seen.get(endpoint.id, UNSEEN)
        hold = self._endpoint_hold(endpoint) if self._troubled else None
        return Look(seen.ttft, seen.load, seen.turns, headroom, hold)

    def soft(self, endpoint: Endpoint, tokens: int, stream: bool = True) -> float:
        """Seconds after which its first output is late, for a prompt of so many tokens. Sorts: ask if you hedge."""
        return self._seen.get(endpoint.id, UNSEEN).soft(tokens, stream)

    def usual(self, endpoint: Endpoint, stream: bool = True) -> float:
        """Seconds to its first output, half of the time; 0 is unknown. Sorts: ask when time is short."""
        return self._seen.get(endpoint.id, UNSEEN).usual(stream)

    def turns(self, endpoint: Endpoint, account: Account) -> int:
        """Calls that began through this account, of all its models."""
        return self._turns[endpoint.provider, account.id]

    def snapshot(self) -> list[Mapping[str, Any]]:
        """Every scope that is held or failing, for status pages."""
        now = self.clock()
        found: list[Mapping[str, Any]] = []
        for name in sorted(self._troubled):
            hold = self._held(name, now)
            breaker = self._circuits.get(name)
            if name in self._troubled:
                line = {
                    "scope": name,
                    "reason": hold.reason if hold else None,
                    "until": hold.until if hold else None,
                }
                found.append({**line, "breaker": breaker.snapshot(now) if breaker else None})
        return found

    # ---- taking a turn --------------------------------------------------------------------------

    def claim(self, endpoint: Endpoint, account: Account, now: float) -> Ticket | Hold:
        """Take a turn, once everything else it needs is there: in flight from now, or what forbids it.

        A half-open circuit lets one call through as its probe, one that has just closed a share of what asks.
        """
        if not self._troubled:
            return self._ticket(endpoint, account, now, ())
        if hold := self._hold(endpoint, account, now):
            return hold
        probes = self._circuits.take(self._troubles(endpoint, account), now)
        return probes if isinstance(probes, Hold) else self._ticket(endpoint, account, now, probes)

    def begin(self, endpoint: Endpoint, account: Account) -> Ticket:
        """A call that is made whatever is held, because nothing else is left; a probe only if it may be one."""
        now = self.clock()
        probes = self._circuits.force(self._troubles(endpoint, account), now) if self._troubled else ()
        return self._ticket(endpoint, account, now, probes)

    def _ticket(self, endpoint: Endpoint, account: Account, now: float, probes: Sequence[Breaker]) -> Ticket:
        seen = self._seen.get(endpoint.id)
        if seen is None:
            if len(self._seen) > MOST_ENDPOINTS:
                self._trim()
            seen = self._seen[endpoint.id] = Seen()
        seen.load += 1
        seen.turns += 1
        self._turns[endpoint.provider, account.id] += 1
        return Ticket(self, endpoint, account, seen, now, probes)

    # ---- telling --------------------------------------------------------------------------------

    def ended(
        self,
        ticket: Ticket,
        failure: Failure | None,
        ttft: float | None,
        tokens: int,
        stream: bool,
        flaw: Failure | None,
        weight: float | None,
        now: float | None,
    ) -> None:
        """What `Ticket.end` says."""
        seen, probes = ticket.seen, ticket.probes
        if now is None:
            now = self.clock()
        endpoint, account = ticket.endpoint, ticket.account
        seen.load -= 1
        if probes:
            self._circuits.give(probes)
        if failure is not None:
            own = self._circuits.failure(endpoint, probes, failure, ticket.began, now)
        else:
            if ttft is not None:
                seen.sample(ttft, tokens, now, stream)
            self._coolings.success(endpoint, account)
            counted = 0.0 if flaw is None else TABLE[flaw.kind].breaker if weight is None else weight
            own = self._circuits.success(endpoint, probes, counted, now)
        if own and own.open_until is not None:
            self._troubled.add(own.scope)
        if wrong := failure or flaw:
            name = _charged(endpoint, account, wrong)
            if name and self._coolings.failure(name, wrong, ticket.began, now):
                self._troubled.add(name)

    def hold_until(self, name: str, until: float, reason: str) -> None:
        """Hold a scope because somebody knows better than its calls: until then, or until `release`."""
        self._coolings.put(name, until, reason)
        self._troubled.add(name)

    def release(self, name: str, reason: str) -> None:
        """End the hold that a scope has for this reason."""
        self._coolings.end(name, reason)

    # ---- inside ---------------------------------------------------------------------------------

    def _hold(self, endpoint: Endpoint, account: Account, now: float) -> Hold | None:
        holds = [hold for name in scopes(endpoint, account) if (hold := self._held(name, now))]
        return max(holds, key=lambda hold: hold.until) if holds else None

    def _held(self, name: str, now: float) -> Hold | None:
        if name not in self._troubled:
            return None
        cooling, breaker = self._coolings.get(name), self._circuits.get(name)
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

    def _troubles(self, endpoint: Endpoint, account: Account) -> list[str]:
        return [name for name in scopes(endpoint, account) if name in self._troubled]

    def _trim(self) -> None:
        """Names of models come from clients, too: what is idle and well may be forgotten."""
        self._seen = {id: seen for id, seen in self._seen.items() if seen.load}
        self._circuits.forget(self._troubled)
        self._coolings.forget(self._troubled)


def _charged(endpoint: Endpoint, account: Account, failure: Failure) -> str:
    """A plugin's mistake is held against all that it serves, one of ours against nobody."""
    if failure.kind == "internal":
        return charged(endpoint, account, "provider" if failure.by == "plugin" else "request")
    return charged(endpoint, account, failure.scope)
