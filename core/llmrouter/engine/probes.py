"""What accounts have left, asked in the background: at the start, now and then, and after a refusal.

Never on the way of a request. What is told corrects the limits that are declared, holds what is used up, and ends
the hold of an account that was paid for.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Iterator, Mapping
from contextlib import suppress
from fnmatch import fnmatchcase
from itertools import chain
from typing import cast

from attrs import define, field, frozen
from msgspec.structs import replace

from llmrouter.catalogue.limits import scope
from llmrouter.errors import LLMRouterError
from llmrouter.protocols import Clock, Learns, ReportsQuota
from llmrouter.types import (
    ANY_MODEL,
    Account,
    Allowance,
    Attempt,
    Endpoint,
    Kind,
    RequestRecord,
    Scope,
    Sighting,
)

from .health import Health
from .quota import Quota
from .scopes import charged
from .world import World

JITTER = 0.1
"""Part of an interval by which it is made longer or shorter, so that workers do not ask in step."""
LEAST = 5.0
"""Seconds between two looks at one account, whatever is refused."""
HELD_FOR = 2.5
"""Intervals that a hold lasts where nobody says when it ends: the next look renews it or ends it."""
REFUSED: frozenset[Kind] = frozenset({"payment", "quota_exhausted"})
"""Failures after which an account is looked at again."""


@frozen(eq=False)
class Probed:
    """One account whose provider can be asked, every `every` seconds."""

    reporter: ReportsQuota
    provider: str
    account: Account
    every: float
    due: asyncio.Event = field(factory=asyncio.Event)


@define(eq=False)
class Probes:
    """A sink of records, too: they tell of refusals, and providers that learn are told of them."""

    world: World
    health: Health
    quota: Quota
    clock: Clock
    random: random.Random
    log: logging.Logger
    _probed: Mapping[tuple[str, str], Probed] = field(init=False)
    _learners: tuple[Learns, ...] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._probed = {(one.provider, one.account.id): one for one in self._found()}
        self._learners = tuple(one for one in self.world.providers.values() if isinstance(one, Learns))

    def record(self, record: RequestRecord) -> None:
        for step in record.steps:
            if type(step) is Attempt and step.failure and step.failure.kind in REFUSED:
                probed = self._probed.get((step.endpoint.partition("/")[0], step.account))
                if probed:
                    probed.due.set()
        for learner in self._learners:
            learner.observe(record)

    async def run(self) -> None:
        """Ask, until cancelled."""
        async with asyncio.TaskGroup() as group:
            for probed in self._probed.values():
                group.create_task(self._watch(probed), name=f"llmrouter probe {probed.provider}")

    async def _watch(self, probed: Probed) -> None:
        while True:
            await self._look(probed)
            wait = probed.every * self.random.uniform(1 - JITTER, 1 + JITTER)
            await asyncio.sleep(min(LEAST, wait))
            with suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, wait - LEAST)):
                    await probed.due.wait()

    async def _look(self, probed: Probed) -> None:
        probed.due.clear()
        try:
            allowance = await probed.reporter.quota(probed.account.id)
        except LLMRouterError as error:
            self.log.info("%s cannot be asked what is left: %s", probed.provider, error)
        except Exception:  # a plugin's own mistake must not end the looking
            self.log.exception("%s failed to say what is left", probed.provider)
        else:
            self._take(probed, allowance)

    # ---- what was told ------------------------------------------------------------------------------

    def _take(self, probed: Probed, allowance: Allowance) -> None:
        later = self.clock() + HELD_FOR * probed.every
        used_up: dict[str, float] = {}  # scope → until when, 0 for one that has something left
        for sighting in allowance.sightings:
            for endpoint in self._meant(probed, sighting):
                self.quota.sight([replace(sighting, scope=scope(endpoint, probed.account, sighting.scope))])
                if sighting.remaining is not None:
                    name = charged(endpoint, probed.account, cast(Scope, sighting.scope))
                    until = 0.0 if sighting.remaining > 0 else sighting.resets_at or later
                    used_up[name] = max(used_up.get(name, 0.0), until)
        for name, until in used_up.items():
            self._hold(name, until, "limit")
        if allowance.balance is not None:
            name = f"account:{probed.provider}/{probed.account.id}"
            self._hold(name, 0.0 if allowance.balance > 0 else later, "payment")

    def _hold(self, name: str, until: float, reason: str) -> None:
        if until:
            self.health.hold_until(name, until, reason)
        else:
            self.health.release(name, reason)

    def _meant(self, probed: Probed, sighting: Sighting) -> list[Endpoint]:
        """The endpoints that a sighting is about; one stands for all where it is not about models."""
        known = chain(self.world.endpoints.values(), self.world.names.discovered.values())
        own = [one for one in known if one.provider == probed.provider]
        if sighting.scope != "account_model":
            return own[:1]
        return [one for one in own if one.model != ANY_MODEL and fnmatchcase(one.model, sighting.models)]

    def _found(self) -> Iterator[Probed]:
        accounts: dict[str, dict[str, Account]] = {}
        for one in self.world.endpoints.values():
            accounts.setdefault(one.provider, {}).update({account.id: account for account in one.accounts})
        for name, provider in self.world.providers.items():
            every = self.world.settings.providers[name].probe
            if every is not None and isinstance(provider, ReportsQuota):
                for account in accounts.get(name, {}).values():
                    yield Probed(provider, name, account, every)
