"""One scenario, played to its end: its requests are made, their answers judged, and the worst of them counts."""

from __future__ import annotations

import asyncio
import itertools
from concurrent.futures import Executor
from contextlib import nullcontext

from attrs import define, field, frozen

from llmrouter.types import Attempt

from . import client, saying
from .card import Result
from .house import House
from .scenario import Stage
from .verdict import VERDICTS, Limits, Verdict, judge

TAKES = 3
"""Times that a scenario is played at most: where the machine is busy, a hedge can win before the fault arrives."""


@frozen
class Seen:
    """One answer and its worth. `id` is the request's."""

    verdict: Verdict
    why: str
    seconds: float
    id: str

    @property
    def badness(self) -> tuple[int, float]:
        return VERDICTS.index(self.verdict), self.seconds


@define(eq=False)
class Audience:
    """Whoever asks: real clients, each in a thread of the pool."""

    pool: Executor
    _numbers: itertools.count[int] = field(factory=lambda: itertools.count(1))

    async def watch(self, stage: Stage, house: House, copies: int) -> Result:
        """Play a stage before `copies` clients at once."""
        scenario = stage.scenario
        engine = house.router.world.names.expand(stage.name).engine or house.router.settings.engine
        seen: list[Seen] = []
        tried = False
        for _ in range(TAKES):
            seen += await self._take(stage, house, copies, Limits.of(engine, copies))
            if tried := was_tried(stage, house):
                break
        worst = max(seen, key=lambda one: one.badness)
        attempts = await house.records.attempts(worst.id)
        verdict, why = worst.verdict, worst.why
        if scenario.flawed and verdict == "fail" and attempts and (flaw := attempts[-1].flaw):
            verdict, why = "partial", f"given as it was said, and told in the record: {flaw.message}"
        if not tried:
            verdict, why = "fail", f"not tried: {stage.first} was not asked" + (f" ({why})" if why else "")
        return Result(
            fault=scenario.name,
            about=scenario.about,
            group=stage.group,
            shape=stage.shape,
            verdict=verdict,
            why=why,
            seconds=max(one.seconds for one in seen),
            attempts=tuple([_shown(one, stage) for one in attempts]),
            excuse=scenario.excused(stage.shape, stage.members, engine) if verdict != "pass" else "",
        )

    async def _take(self, stage: Stage, house: House, copies: int, limits: Limits) -> list[Seen]:
        seen: list[Seen] = []
        with stage.during() if stage.during else nullcontext():
            for number in range(stage.scenario.requests):
                await asyncio.sleep(stage.scenario.every if number else 0)
                seen += await asyncio.gather(*(self._ask(stage, house, limits) for _ in range(copies)))
        return seen

    async def _ask(self, stage: Stage, house: House, limits: Limits) -> Seen:
        number, says = next(self._numbers), stage.scenario.says
        body = saying.body(stage.name, number, stage.shape, says)
        loop = asyncio.get_running_loop()
        answer = await loop.run_in_executor(self.pool, client.ask, house.port, body, limits.hung)
        verdict, why = judge(saying.meaning(number, says), stage.shape, answer, limits)
        return Seen(verdict, why, answer.seconds, answer.headers.get("x-request-id", ""))


def was_tried(stage: Stage, house: House) -> bool:
    """By the log of the upstream; where it cannot have seen anything, by the records of the router."""
    unseen = stage.entries[stage.first].name in house.records.failed
    return (unseen if stage.scenario.unseen else stage.tried > 0) and stage.proof(house.router)


def _shown(attempt: Attempt, stage: Stage) -> str:
    endpoint = attempt.endpoint.replace(f"--{stage.number}/", "/", 1)
    return f"{endpoint} {attempt.failure.kind if attempt.failure else 'served'}"
