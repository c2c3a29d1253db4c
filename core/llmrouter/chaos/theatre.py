"""The upstreams of a run, and the stages that they play on: who is asked for what, and plays which part."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from contextlib import ExitStack
from functools import partial

from attrs import define, field

from llmrouter.settings import GroupSettings, ProviderSettings, Settings
from llmrouter.testing.upstream import Received, Script, Upstream
from llmrouter.testing.upstream_scripts import answer, chosen

from . import plugin, saying
from .casting import cast_of
from .pointing import Pace, bare, clone_of, pointed, renamed, settings_of
from .scenario import Scenario, Shape, Stage

NOT_FOUND = 404


@define(eq=False, kw_only=True)
class Theatre:
    """Sets scenarios up. One upstream for each provider of the configuration; each stage has its own paths there.

    Each stage also has its own copies of the providers, and so its own endpoints: what one scenario does to their
    health is no other's, while all of them go through one router.
    """

    base: Settings
    pace: Pace
    resources: ExitStack
    absent: set[str]  # members that serve no chat
    stand_ins: set[str] = field(factory=set)  # providers that another plugin plays
    _upstreams: dict[str, Upstream] = field(factory=dict)
    _stages: dict[int, Stage] = field(factory=dict)
    _numbers: itertools.count[int] = field(factory=lambda: itertools.count(1))

    def stage(self, scenario: Scenario, name: str, tiers: GroupSettings, shape: Shape) -> Stage:
        """A scenario for a group of the configuration, in one shape. Some member of the group must serve chat."""
        number = next(self._numbers)
        cast = cast_of(tiers, self.absent)
        providers = dict.fromkeys(one.partition("/")[0] for one in cast)
        first, _, model = cast[0].partition("/")
        stage = Stage(
            number=number,
            scenario=scenario,
            group=name,
            tiers=tiers,
            shape=shape,
            first=first,
            model="" if sum(one.partition("/")[0] == first for one in cast) == 1 else model,
            members=len(cast),
            entries={provider: self._entry(provider, number) for provider in providers},
            resources=self.resources,
        )
        self._stages[number] = stage
        if scenario.arrange:
            scenario.arrange(stage)
        return stage

    def settings(self, stages: Iterable[Stage]) -> Settings:
        """A router for these stages."""
        providers: dict[str, ProviderSettings] = {}
        groups: dict[str, GroupSettings] = {}
        own = None
        for stage in stages:
            providers.update({entry.name: entry for entry in stage.entries.values()})
            kept = cast_of(stage.tiers, self.absent)
            groups[stage.name] = renamed(stage.tiers, stage.number, kept, self.pace)
            own = stage.settings
        made = settings_of(self.base, providers, groups, self.pace)
        return own(made) if own else made

    def _entry(self, provider: str, number: int) -> ProviderSettings:
        address = f"{self._upstream(provider).base_url}/{number}"
        entry = self.base.providers[provider]
        if provider in self.stand_ins:
            entry = bare(entry, plugin.PLAIN)
        return pointed(entry, clone_of(provider, number), address, self.pace)

    def _upstream(self, provider: str) -> Upstream:
        if provider not in self._upstreams:
            script = chosen(partial(self._script, provider))
            self._upstreams[provider] = self.resources.enter_context(Upstream(script))
        return self._upstreams[provider]

    def _script(self, provider: str, request: Received) -> Script:
        """Called by the thread of the upstream for every request that it gets: this is its log."""
        number = request.path.split("/")[1]
        stage = self._stages.get(int(number)) if number.isdigit() else None
        speaker = saying.speaker(request, stage.scenario.says) if stage else None
        if stage is None or speaker is None:
            return answer(NOT_FOUND)
        if provider != stage.first or stage.model not in ("", saying.model(request)):
            return stage.others(speaker)
        stage.tried += 1
        return stage.play(speaker)
