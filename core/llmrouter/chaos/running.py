"""A run: the rehearsal, then every scenario in random order, and the scorecard."""

from __future__ import annotations

import asyncio
import itertools
import logging
import random
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path

from attrs import define, field, frozen

from llmrouter.errors import LLMRouterError
from llmrouter.plugins import Plugins
from llmrouter.settings import GroupSettings, Member, Settings

from .arranged import missing
from .card import Card, Result
from .casting import AUTO, absent_of, cast_of, groups_of
from .house import House, house
from .performing import Audience
from .pointing import Pace
from .scenario import Scenario, Stage
from .theatre import Theatre

LANES = 8
"""Scenarios at a time, where each is one request: silences overlap, and a busy machine keeps its word."""
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


async def run(settings: Settings, plugins: Plugins, options: Options, say: Say = lambda line: None) -> Card:
    """Run the scenarios against a configuration. Raises LLMRouterError where nothing can be tested."""
    started = time.monotonic()
    groups = groups_of(settings, plugins, options.groups)
    absent = absent_of(settings, plugins, groups)
    playing = {name: group for name, group in groups.items() if cast_of(group, absent)}
    if not playing:
        raise LLMRouterError("no group of the configuration has a member that serves chat")
    pace = Pace.of(settings, playing.values(), options.copies)
    with ExitStack() as resources, _quiet():
        folder = Path(resources.enter_context(tempfile.TemporaryDirectory(prefix="llmrouter-chaos-")))
        pool = resources.enter_context(ThreadPoolExecutor(LANES * options.copies, "chaos client"))
        theatre = Theatre(base=settings, pace=pace, resources=resources, absent=absent)
        audience = Audience(pool)
        running = Run(theatre=theatre, plugins=plugins, options=options, folder=folder, audience=audience, say=say)
        await running.rehearse(playing)
        results = await running.play(playing)
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
        stand_ins=sorted(theatre.stand_ins),
        absent=sorted(absent),
        skipped={name: why for name, why in missing().items() if name in order},
    )


@define(eq=False, kw_only=True)
class Run:
    """One run under way."""

    theatre: Theatre
    plugins: Plugins
    options: Options
    folder: Path
    audience: Audience
    say: Say
    _houses: itertools.count[int] = field(factory=itertools.count)

    async def rehearse(self, groups: Mapping[str, GroupSettings]) -> None:
        """Ask each provider once while nothing is wrong: who does not answer as it should is played by another.

        Those are providers in process, and those whose address or credentials no configuration can replace.
        """
        theatre = self.theatre
        cast = [one for group in groups.values() for one in cast_of(group, theatre.absent)]
        firsts = {one.partition("/")[0]: one for one in cast}
        answers = await asyncio.gather(*map(self._answers, firsts.values()))
        for provider in [one for one, well in zip(firsts, answers, strict=True) if not well]:
            theatre.stand_ins.add(provider)
            self.say(f"{provider} cannot be pointed at another address: a stand-in plays it")

    async def _answers(self, member: str) -> bool:
        alone = GroupSettings(tiers=((Member(member),),))
        try:
            stage = self.theatre.stage(WELL, AUTO, alone, "plain")
            async with self._house([stage]) as opened:
                return (await self.audience.watch(stage, opened, 1)).verdict == "pass"
        except (LLMRouterError, ValueError):  # it cannot even be built with dummies
            return False

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
            results += [await self._perform(one, opened) for one in shared if one.scenario.alone]
        for stage in [one for one in stages if one.settings is not None]:
            async with self._house([stage]) as opened:
                results.append(await self._perform(stage, opened))
        return results

    async def _perform(self, stage: Stage, opened: House) -> Result:
        result = await self.audience.watch(stage, opened, self.options.copies)
        told = f"{result.verdict:12}  {result.fault}, {result.group}, {result.shape}"
        self.say(told + (f": {result.why}" if result.why else ""))
        return result

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
                return await self._perform(stage, opened)

        return [*await asyncio.gather(*map(one, stages))]


@contextmanager
def _quiet() -> Iterator[None]:
    """Failures are the purpose: the router's log does not tell them a second time."""
    log = logging.getLogger("llmrouter")
    before = log.level
    log.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        log.setLevel(before)
