"""From settings and plugins to a world: everything that a configuration names is built here, once."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from attrs import define, evolve, frozen

from . import dialects
from .catalogue.limits import Limits
from .catalogue.names import Names
from .config import structured
from .engine import World
from .errors import PluginError
from .plugins import Plugins
from .protocols import Clock, Control, Dialect, Learns, PluginType, Provider, ProviderType, Transport
from .routing import ASKED, CONFIGURED, Ranking
from .settings import EngineSettings, PluginSettings, ProviderSettings, Settings
from .types import Endpoint

StandIn = Callable[[ProviderSettings], Provider]
"""A provider that is not what its entry in the configuration says."""


@frozen(kw_only=True)
class Context:
    """What a plugin is built with, and may keep."""

    name: str
    transport: Transport
    clock: Clock
    random: random.Random
    logger: logging.Logger
    state_dir: Path
    control: Control
    plugins: Plugins

    def build(self, kind: str, settings: Mapping[str, Any]) -> Any:
        """A plugin inside a plugin: `settings` has its `plugin` key and the keys of its own schema."""
        entry = structured(self.plugins, kind, settings)
        built = self.plugins.get(kind, entry.plugin).build(entry.config, evolve(self, name=entry.plugin))
        if hasattr(built, "__aenter__"):
            raise PluginError(
                f"the {kind} {entry.plugin!r} has a lifespan of its own: it cannot be built in a plugin"
            )
        return built


@define(eq=False)
class Builder:
    """Builds plugins and keeps their lifespans on a stack that the router closes.

    `stand_in` gives what takes the place of a provider; without it the provider itself is built.
    """

    context: Context
    stack: AsyncExitStack
    stand_in: StandIn | None = None

    async def build(self, type_: PluginType, config: Any, name: str) -> Any:
        """One plugin, entered if it has a lifespan. Raises PluginError that names it."""
        context = evolve(self.context, name=name, logger=self.context.logger.getChild(name))
        try:
            built = type_.build(type_.config() if config is None else config, context)
            if hasattr(built, "__aenter__"):
                built = await self.stack.enter_async_context(built)
        except PluginError:
            raise
        except Exception as error:
            raise PluginError(f"{name}: the plugin {type_.name!r} could not be built: {error!r}") from error
        return built

    async def named(self, kind: str, settings: PluginSettings) -> Any:
        return await self.build(self.context.plugins.get(kind, settings.plugin), settings.config, settings.plugin)

    async def world(self, settings: Settings) -> World:
        """Everything that requests of one configuration need."""
        providers = await self.providers(settings)
        endpoints: dict[str, Endpoint] = {}
        spoken: dict[str, Dialect] = {dialect.name: dialect for dialect in dialects.builtin()}
        for name in providers:
            entry = settings.providers[name]
            type_ = self._provider_type(entry)
            endpoints.update((endpoint.id, endpoint) for endpoint in type_.endpoints(entry))
            spoken.update((dialect.name, dialect) for dialect in type_.dialects)
        ranking = await self._ranking(settings.routing.policy, settings.engine)
        return World(
            settings=settings,
            names=Names(endpoints, settings.groups, settings.aliases, settings.routing),
            endpoints=endpoints,
            providers=providers,
            dialects=spoken,
            limits=Limits(settings.providers, {key.name: key for key in settings.server.keys}),
            ranking=ranking,
            group_rankings=await self._group_rankings(settings),
            order_rankings={order: Ranking(name=order, policy=policy) for order, policy in ASKED.items()},
            counter=await self._first("tokens"),
            repair=await self._first("repair"),
            learner=ranking.policy if isinstance(ranking.policy, Learns) else None,
        )

    async def providers(self, settings: Settings) -> Mapping[str, Provider]:
        """The enabled providers of a configuration."""
        enabled = {name: entry for name, entry in settings.providers.items() if entry.enabled}
        if self.stand_in:
            return {name: self.stand_in(entry) for name, entry in enabled.items()}
        return {name: await self.build(self._provider_type(entry), entry, name) for name, entry in enabled.items()}

    def _provider_type(self, entry: ProviderSettings) -> ProviderType:
        type_ = self.context.plugins.get("provider", entry.plugin)
        assert isinstance(type_, ProviderType)
        return type_

    async def _group_rankings(self, settings: Settings) -> Mapping[str, Ranking]:
        """Of the groups that say how their members are to be ordered, by a policy or by their profile."""
        own = {
            name: (group.policy or settings.routing.policy, group.engine)
            for name, group in settings.groups.items()
            if group.policy or group.engine
        }
        return {
            name: await self._ranking(policy, engine or settings.engine) for name, (policy, engine) in own.items()
        }

    async def _ranking(self, settings: PluginSettings | None, engine: EngineSettings) -> Ranking:
        """Without a policy the order of the configuration stands; in no hurry, the cheapest first."""
        if settings is None:
            patient = engine.profile == "batch"
            return Ranking(name="cost" if patient else "order", policy=ASKED["cost"] if patient else CONFIGURED)
        return Ranking(name=settings.plugin, policy=await self.named("policy", settings))

    async def _first(self, kind: str) -> Any:
        """The first plugin of a kind that need not be named; None where there is none."""
        for type_ in self.context.plugins.always(kind):
            return await self.build(type_, None, type_.name)
        return None
