"""The circuits of all scopes: which of them a call must pass, and what it says to each."""

from __future__ import annotations

import random
from collections.abc import Container, Iterable, Sequence

from attrs import define, field

from llmrouter.settings import BreakerSettings
from llmrouter.types import Endpoint, Failure, Hold

from .breaker import PROBE_WAIT, Breaker
from .probe_lock import ProbeLock
from .table import TABLE


@define(eq=False)
class Circuits:
    """`settings` None opens none. Those that a call is the probe of are `probes`, from `take` to its end."""

    settings: BreakerSettings | None
    random: random.Random
    lock: ProbeLock
    _endpoints: dict[str, Breaker] = field(factory=dict)  # by id
    _providers: dict[str, Breaker] = field(factory=dict)  # by name, of those that could not be reached

    def get(self, scope: str) -> Breaker | None:
        """The circuit of a scope, if it has one."""
        kind, _, name = scope.partition(":")
        if kind == "endpoint":
            return self._endpoints.get(name)
        return self._providers.get(name) if kind == "provider" else None

    # ---- taking a turn --------------------------------------------------------------------------

    def take(self, names: Iterable[str], now: float) -> Sequence[Breaker] | Hold:
        """Pass all circuits of these names: the ones that the call is the probe of, or what is in its way."""
        circuits = self._among(names)
        refusals = [one for one in circuits if not one.asked(now)]  # all are asked: their shares do not multiply
        if refusals:
            return Hold(now, "breaker", refusals[0].scope)
        probes: list[Breaker] = []
        for one in circuits:
            if one.wants_probe(now) and not self._lock(one, probes):
                one.probed_elsewhere(now)
                self.give(probes)
                return Hold(now + PROBE_WAIT, "breaker", one.scope)
        for one in circuits:
            one.admit(now)
        return probes

    def force(self, names: Iterable[str], now: float) -> Sequence[Breaker]:
        """Pass them whatever they say; the ones it may be the probe of."""
        probes: list[Breaker] = []
        for one in self._among(names):
            if one.wants_probe(now):
                self._lock(one, probes)
        return probes

    def give(self, probes: Iterable[Breaker]) -> None:
        for one in probes:
            one.probing = False
            self.lock.give(one.scope)

    def _lock(self, breaker: Breaker, probes: list[Breaker]) -> bool:
        if not self.lock.take(breaker.scope):
            return False
        breaker.probing = True
        probes.append(breaker)
        return True

    def _among(self, names: Iterable[str]) -> list[Breaker]:
        return [breaker for name in names if (breaker := self.get(name))]

    # ---- telling --------------------------------------------------------------------------------

    def success(self, endpoint: Endpoint, probes: Sequence[Breaker], weight: float, now: float) -> Breaker | None:
        """An answer, `weight` of it a failure; the circuit that counts it."""
        if self.settings is None:
            return None
        own = self._of_endpoint(endpoint)
        own.success(now, own in probes, weight)
        if self._providers and (provider := self._providers.get(endpoint.provider)):
            provider.success(now, provider in probes)
        return own

    def failure(
        self,
        endpoint: Endpoint,
        probes: Sequence[Breaker],
        failure: Failure,
        began: float,
        now: float,
    ) -> Breaker | None:
        """The circuit that counts it. To the others it is an answer, if it is one: who says no can be reached."""
        rule, own = TABLE[failure.kind], None
        if self.settings and rule.breaker and failure.scope in ("endpoint", "provider"):
            own = (
                self._of_endpoint(endpoint) if failure.scope == "endpoint" else self._of_provider(endpoint.provider)
            )
            own.failure(now, failure.kind, rule.breaker, own in probes, began)
        if rule.answered:
            provider = self._providers.get(endpoint.provider)
            if provider and provider is not own:
                provider.reached()
            for one in probes:
                if one is not own and (own is None or one is provider):
                    one.success(now, True)
        return own

    def forget(self, wanted: Container[str]) -> None:
        """Drop all but these."""
        self._endpoints = {name: one for name, one in self._endpoints.items() if one.scope in wanted}
        self._providers = {name: one for name, one in self._providers.items() if one.scope in wanted}

    def _of_endpoint(self, endpoint: Endpoint) -> Breaker:
        found = self._endpoints.get(endpoint.id)
        if found is None:
            assert self.settings is not None
            found = Breaker(f"endpoint:{endpoint.id}", self.settings, self.random)
            self._endpoints[endpoint.id] = found
        return found

    def _of_provider(self, name: str) -> Breaker:
        found = self._providers.get(name)
        if found is None:
            assert self.settings is not None
            found = self._providers[name] = Breaker(f"provider:{name}", self.settings, self.random, only_quick=True)
        return found
