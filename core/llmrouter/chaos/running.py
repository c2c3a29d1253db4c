"""A run: the rehearsal, then every scenario in random order, and the scorecard."""

from __future__ import annotations

import asyncio
import itertools
import logging
import random
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager, nullcontext
from pathlib import Path

from attrs import define, field, frozen

from llmrouter import dialects
from llmrouter.errors import LLMRouterError, PluginError
from llmrouter.plugins import Plugins
from llmrouter.protocols import ProviderType
from llmrouter.settings import GroupSettings, Member, Settings
from llmrouter.types import Attempt

from . import client, saying
from .arranged import missing
from .card import Card, Result
from .house import House, house
from .pointing import Pace, clone, members
from .scenario import Scenario, Stage
from .theatre import Theatre, left_out
from .verdict import VERDICTS, Limits, Verdict, judge

LANES = 4
"""Scenarios at a time, where each is one request: silences overlap, and a busy machine keeps its word."""
AUTO = "auto"
WELL = Scenario(name="well", about="nothing is wrong")

Say = Callable[[str], None]


@frozen(kw_only=True)
class Options:
    """What a run is asked for. No groups: all of the configuration."""

    scenarios: Sequence[Scenario]
    groups: Sequence[str] = ()
    repeat: int = 1
    copies: int = 1
    seed: int = 0
    pace: float | None = None


async def run(settings: Settings, plugins: Plugins, options: Options, say: Say = lambda line: None) -> Card:
    """Run the scenarios against a configuration. Raises LLMRouterError where nothing can be tested."""
    started = time.monotonic()
    groups = _groups(settings, plugins, options.groups)
    pace = Pace(options.pace) if options.pace else Pace.of(settings, groups, options.copies)
    with ExitStack() as resources, _quiet():
        folder = Path(resources.enter_context(tempfile.TemporaryDirectory(prefix="llmrouter-chaos-")))
        pool = resources.enter_context(ThreadPoolExecutor(LANES * options.copies, "chaos client"))
        absent = _absent(settings, plugins, groups)
        theatre = Theatre(base=settings, pace=pace, resources=resources, absent=absent)
        performance = Run(theatre=theatre, plugins=plugins, options=options, folder=folder, pool=pool, say=say)
        playing = {name: group for name, group in groups.items() if name not in left_out(groups, settings, absent)}
        if not playing:
            raise LLMRouterError("no group of the configuration has a member that serves chat")
        await performance.rehearse(playing)
        results = await performance.play(playing)
    order = {one.name: place for place, one in enumerate(options.scenarios)}
    return Card(
        source=settings.source,
        profiles={name: (group.engine or settings.engine).profile for name, group in playing.items()},
        seed=options.seed,
        pace=pace.factor,
        copies=options.copies,
        repeats=options.repeat,
        seconds=time.monotonic() - started,
        results=sorted(results, key=lambda one: (one.group, order[one.fault], one.shape)),
        notes=[*_notes(theatre), *(f"group {name}: left out, it serves no chat" for name in groups if name not in playing)],
        skipped={name: why for name, why in missing().items() if name in order},
    )


@define(eq=False, kw_only=True)
class Run:
    """One run under way."""

    theatre: Theatre
    plugins: Plugins
    options: Options
    folder: Path
    pool: ThreadPoolExecutor
    say: Say
    _houses: itertools.count[int] = field(factory=itertools.count)
    _requests: itertools.count[int] = field(factory=lambda: itertools.count(1))

    async def rehearse(self, groups: Mapping[str, GroupSettings]) -> None:
        """Ask each provider once while nothing is wrong: who does not answer as it should is played by another."""
        base, theatre = self.theatre.base, self.theatre
        cast = [one for group in groups.values() for tier in members(group, base.aliases) for one in tier]
        firsts = {one.partition("/")[0]: one for one in reversed(cast) if one not in theatre.absent}
        for provider, member in firsts.items():
            try:
                stage = theatre.stage(WELL, AUTO, GroupSettings(tiers=((Member(member),),)), "plain")
                async with self._house([stage]) as opened:
                    result = await self._perform(stage, opened, 1)
                if result.verdict == "pass":
                    continue
            except (LLMRouterError, ValueError):
                pass
            theatre.stand_ins.add(provider)

    async def play(self, groups: Mapping[str, GroupSettings]) -> list[Result]:
        """Everything there is to play, in random order: first what shares a router, then what needs its own."""
        absent = missing()
        stages = [
            self.theatre.stage(scenario, name, group, shape)
            for _ in range(self.options.repeat)
            for scenario in self.options.scenarios
            if scenario.name not in absent
            for name, group in groups.items()
            for shape in scenario.shapes
        ]
        random.Random(self.options.seed).shuffle(stages)
        shared = [stage for stage in stages if stage.settings is None]
        self.say(f"{len(stages)} to play, the time-outs divided by {self.theatre.pace.factor:.0f}")
        results: list[Result] = []
        async with self._house(shared) as opened:
            results += await self._in_lanes([one for one in shared if not one.scenario.alone], opened)
            for stage in [one for one in shared if one.scenario.alone]:
                results.append(await self._perform(stage, opened, self.options.copies))
        for stage in [one for one in stages if one.settings is not None]:
            async with self._house([stage]) as opened:
                results.append(await self._perform(stage, opened, self.options.copies))
        return results

    @asynccontextmanager
    async def _house(self, stages: Sequence[Stage]) -> AsyncIterator[House]:
        state = self.folder / f"state-{next(self._houses)}"
        state.mkdir(mode=0o700)
        async with house(self.theatre.settings(stages), self.plugins, state, self.options.seed) as opened:
            yield opened

    async def _in_lanes(self, stages: Sequence[Stage], opened: House) -> list[Result]:
        """Some at a time; with copies one at a time, for its copies are the crowd."""
        free = asyncio.Semaphore(LANES if self.options.copies == 1 else 1)

        async def one(stage: Stage) -> Result:
            async with free:
                return await self._perform(stage, opened, self.options.copies)

        return [*await asyncio.gather(*map(one, stages))]

    async def _perform(self, stage: Stage, opened: House, copies: int) -> Result:
        scenario = stage.scenario
        limits = Limits.of(opened.router.world.names.expand(stage.name).engine or opened.router.settings.engine, copies)
        found: list[tuple[Verdict, str, float, str]] = []
        with stage.during() if stage.during else nullcontext():
            for number in range(scenario.requests):
                await asyncio.sleep(scenario.every if number else 0)
                found += await asyncio.gather(*(self._ask(stage, opened, limits) for _ in range(copies)))
        verdict, why, _, id = max(found, key=lambda one: (VERDICTS.index(one[0]), one[2]))
        attempts = await opened.records.attempts(id)
        if not self._was_tried(stage, opened, attempts):
            verdict, why = "fail", f"not tried: {stage.first} was not asked" + (f" ({why})" if why else "")
        elif verdict == "safe failure" and stage.members < 2 and not scenario.excuse:
            why = f"{why} (the group has one member: nobody can take over)"
        self.say(f"{verdict:12}  {scenario.name}, {stage.group}, {stage.shape}" + (f": {why}" if why else ""))
        return Result(
            fault=scenario.name,
            about=scenario.about,
            group=stage.group,
            shape=stage.shape,
            verdict=verdict,
            why=why,
            seconds=max(seconds for _, _, seconds, _ in found),
            attempts=tuple([_shown(one, stage.number) for one in attempts]),
            excuse=scenario.excuse,
        )

    async def _ask(self, stage: Stage, opened: House, limits: Limits) -> tuple[Verdict, str, float, str]:
        number, says = next(self._requests), stage.scenario.says
        body = saying.body(stage.name, number, stage.shape, says)
        loop = asyncio.get_running_loop()
        answer = await loop.run_in_executor(self.pool, client.ask, opened.port, body, limits.hung)
        verdict, why = judge(saying.meaning(number, says), stage.shape, answer, limits)
        return verdict, why, answer.seconds, answer.headers.get("x-request-id", "")

    def _was_tried(self, stage: Stage, opened: House, attempts: Iterable[Attempt]) -> bool:
        """By the log of the upstream; where it cannot have seen anything, by the record of the router."""
        called = {one.endpoint.partition("/")[0] for one in attempts if one.failure}
        seen = stage.entries[stage.first].name in called if stage.scenario.unseen else stage.tried > 0
        return seen and stage.proof(opened.router)


def _shown(attempt: Attempt, number: int) -> str:
    endpoint = attempt.endpoint.replace(f"--{number}/", "/", 1)
    return f"{endpoint} {attempt.failure.kind if attempt.failure else 'served'}"


# ---- what is tested


def _groups(settings: Settings, plugins: Plugins, asked: Sequence[str]) -> Mapping[str, GroupSettings]:
    """The groups asked for, else all; where the configuration has none, a tier of one model of each provider."""
    if unknown := [name for name in asked if name not in settings.groups]:
        raise LLMRouterError(f"there is no group {unknown[0]!r}. There are: {', '.join(settings.groups) or 'none'}")
    if settings.groups:
        return {name: group for name, group in settings.groups.items() if not asked or name in asked}
    firsts = [
        Member(f"{name}/{next(iter(entry.models), None) or _types(plugins, entry.plugin).endpoints(entry)[0].model}")
        for name, entry in settings.providers.items()
        if entry.enabled
    ]
    return {AUTO: GroupSettings(tiers=(tuple(firsts),))}


def _absent(settings: Settings, plugins: Plugins, groups: Mapping[str, GroupSettings]) -> set[str]:
    """Members that serve no chat, or belong to a provider that is not enabled."""
    talking = {one.name for one in dialects.builtin() if "chat" in one.ops}
    absent: set[str] = set()
    for member in {one for group in groups.values() for tier in members(group, settings.aliases) for one in tier}:
        provider, _, model = member.partition("/")
        entry = settings.providers[provider]
        type_ = _types(plugins, entry.plugin)
        known = talking | {one.name for one in type_.dialects if "chat" in one.ops}
        endpoints = {one.model: one for one in type_.endpoints(entry)}
        endpoint = endpoints.get(model) or endpoints.get("*")
        chats = endpoint and (endpoint.ops is None or "chat" in endpoint.ops) and known & {*endpoint.dialects}
        if not (entry.enabled and chats):
            absent.add(member)
    return absent


def _types(plugins: Plugins, name: str) -> ProviderType:
    type_ = plugins.get("provider", name)
    assert isinstance(type_, ProviderType)
    return type_


def _notes(theatre: Theatre) -> Iterator[str]:
    for name in sorted(theatre.stand_ins):
        yield f"provider {name}: cannot be pointed at another address, so a stand-in plays it"
    for member in sorted(theatre.absent):
        yield f"{member}: left out, it serves no chat"


@contextmanager
def _quiet() -> Iterator[None]:
    """Failures are the purpose: the router's log does not tell them a second time."""
    log = logging.getLogger("llmrouter")
    before, log.disabled = log.level, True
    log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        log.disabled = False
        log.setLevel(before)
