"""A configuration made harmless and quick: no real key, no real host, no real store, and shorter time-outs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import attrs
from attrs import evolve, frozen

from llmrouter.builtin import NoConfig
from llmrouter.settings import (
    BreakerSettings,
    CatalogueSettings,
    EngineSettings,
    GroupSettings,
    LoadSettings,
    Member,
    PluginSettings,
    ProviderSettings,
    QuotaSettings,
    RoutingSettings,
    Secret,
    ServerSettings,
    Settings,
)

QUICK = 0.5
"""Seconds that the shortest of the scaled time-outs has: enough for a busy machine."""
LEAST_CONNECT = 0.5
LEAST_DEADLINE = 8.0
"""Seconds: not scaled below, for a request is not worth an attempt in its last second."""
SOFT = 10.0
"""Seconds after which a silence is hedged where nothing is known and nothing is set."""
MOST_ANSWER = 1024 * 1024
DUMMY = Secret("chaos")
ORDER = PluginSettings(plugin="order", config=NoConfig())
"""Members are tried as the configuration lists them: what is tested is failover, not choice."""


@frozen
class Pace:
    """How much faster a run is than real life. `factor` divides every time-out, so that their ratios stay."""

    factor: float

    @classmethod
    def of(cls, settings: Settings, groups: Iterable[GroupSettings], copies: int) -> Pace:
        """So that the shortest silence that ends an attempt takes half a second, more where many run at once."""
        engines = [settings.engine, *(group.engine for group in groups if group.engine)]
        shortest = min(min(_silences(one)) for one in engines)
        return cls(max(1.0, shortest / (QUICK * (1 + copies / 10))))

    def engine(self, engine: EngineSettings) -> EngineSettings:
        times, hedge, by = engine.timeouts, engine.hedge, self.factor
        soft = times.ttft_soft or (SOFT if hedge.at != "off" else None)
        return evolve(
            engine,
            deadline=max(engine.deadline / by, min(engine.deadline, LEAST_DEADLINE)),
            wait_max=engine.wait_max / by,
            timeouts=evolve(
                times,
                connect=max(times.connect / by, min(times.connect, LEAST_CONNECT)),
                headers=times.headers / by,
                ttft_soft=soft / by if soft else None,
                ttft_hard=times.ttft_hard / by,
                idle=times.idle / by,
            ),
            hedge=hedge if isinstance(hedge.at, str) else evolve(hedge, at=hedge.at / by),
            stream=evolve(engine.stream, keep_alive=engine.stream.keep_alive / by),
            queue=evolve(engine.queue, max_wait=engine.queue.max_wait / by),
            max_answer=min(engine.max_answer, MOST_ANSWER),
        )

    def breaker(self, breaker: BreakerSettings | None) -> BreakerSettings | None:
        if breaker is None:
            return None
        return evolve(
            breaker,
            window=breaker.window / self.factor,
            open_for=breaker.open_for / self.factor,
            max_open=breaker.max_open / self.factor,
            ramp=breaker.ramp / self.factor,
        )


def _silences(engine: EngineSettings) -> tuple[float, float, float]:
    return engine.timeouts.headers, engine.timeouts.ttft_hard, engine.timeouts.idle


def pointed(entry: ProviderSettings, name: str, base_url: str, pace: Pace) -> ProviderSettings:
    """An entry under another name that leads to `base_url`, with dummies for all that is secret and no limits.

    May raise what its plugin's class says against that.
    """
    accounts = tuple(
        evolve(one, api_key=Secret(f"chaos-{number}"), limits=(), quota_group="")
        for number, one in enumerate(entry.accounts)
    )
    return evolve(
        entry,
        **_dummies(entry),
        name=name,
        enabled=True,
        base_url=base_url,
        accounts=accounts,
        limits=(),
        probe=None,
        timeout=entry.timeout / pace.factor if entry.timeout else None,
    )


def _dummies(entry: ProviderSettings) -> Mapping[str, Any]:
    """What stands in place of a plugin's own secrets, and of headers that are not shown, for they may hold one."""
    found: dict[str, Any] = {}
    for key in attrs.fields(type(entry)):
        value = getattr(entry, key.name)
        if isinstance(value, Secret):
            found[key.name] = DUMMY
        elif isinstance(value, Mapping) and not key.repr:
            found[key.name] = dict.fromkeys(value, DUMMY.reveal())
    return found


def bare(entry: ProviderSettings, plugin: str) -> ProviderSettings:
    """What every plugin understands of an entry, for another plugin."""
    return ProviderSettings(
        name=entry.name,
        plugin=plugin,
        base_url=entry.base_url,
        accounts=entry.accounts,
        select=entry.select,
        models=entry.models,
        timeout=entry.timeout,
        probe=None,
    )


def settings_of(
    base: Settings,
    providers: Mapping[str, ProviderSettings],
    groups: Mapping[str, GroupSettings],
    pace: Pace,
) -> Settings:
    """A router's settings with these providers and groups, and of the configuration only how it fails over."""
    return Settings(
        revision=base.revision,
        source=base.source,
        providers=providers,
        groups=groups,
        routing=RoutingSettings(policy=ORDER),
        engine=pace.engine(base.engine),
        breaker=pace.breaker(base.breaker),
        quota=QuotaSettings(config=NoConfig(), fail=base.quota.fail),
        server=ServerSettings(drain=0.5),
        catalogue=CatalogueSettings(refresh=None),
        plugins=LoadSettings(),
    )


def renamed(group: GroupSettings, number: int, kept: Iterable[str], pace: Pace) -> GroupSettings:
    """A group of the clones of its members, without those that are left out."""
    known = {*kept}
    tiers = [tuple([Member(clone(one.to, number)) for one in tier if one.to in known]) for tier in group.tiers]
    engine = pace.engine(group.engine) if group.engine else None
    return GroupSettings(tiers=tuple([tier for tier in tiers if tier]), policy=ORDER, engine=engine)


def clone(member: str, number: int) -> str:
    provider, _, model = member.partition("/")
    return f"{clone_of(provider, number)}/{model}"


def clone_of(provider: str, number: int) -> str:
    return f"{provider}--{number}"
