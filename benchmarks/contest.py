"""The catalogue of faults behind other gateways: who gives a client the whole answer, and who tells it the truth.

Played are the faults that need nothing but a script of an upstream. Every gateway has two upstreams, a faulty one
and a healthy one behind it, and gets the same requests; the answers are read by the client of `llmrouter chaos`.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import attrs
from attrs import define, field, frozen

from llmrouter.chaos import Scenario, catalogue, client, saying
from llmrouter.chaos.scenario import Play, Shape, well
from llmrouter.chaos.verdict import VERDICTS, Limits, Verdict, judge
from llmrouter.testing.upstream import Received, Script, Upstream
from llmrouter.testing.upstream_scripts import answer, chosen

from .contestants import Duo, contestants
from .gateways import Peer
from .measure import READY_WITHIN, NotReady, running
from .processes import Process

NAME = "chaos"
TEXT = "every fault of the catalogue, with a healthy upstream behind the faulty one"
LIMITS = Limits(late=4.0, hung=10.0)
"""Seconds. All upstream time-outs are one second: what takes four is late, and after ten a client has left."""
LANES = 8
REHEARSAL, WELL = 0, Scenario(name="well", about="nothing is wrong")
"""The case in which nothing is."""


@frozen
class Case:
    number: int
    scenario: Scenario
    shape: Shape


@frozen
class Outcome:
    """What a gateway made of a case."""

    fault: str
    shape: Shape
    verdict: Verdict
    why: str
    seconds: float


@define(eq=False)
class Contest:
    """A run over all gateways that are there. `say` receives lines about its progress."""

    folder: Path
    say: Callable[[str], None]
    outcomes: dict[str, list[Outcome]] = field(factory=dict)
    skipped: dict[str, str] = field(factory=dict)
    cases: Sequence[Case] = field(factory=lambda: [*cases()])
    _tried: set[int] = field(factory=set)

    def run(self) -> Contest:
        with Upstream(chosen(self._faulty)) as bad, Upstream(chosen(self._well)) as good:
            numbers = [REHEARSAL, *(one.number for one in self.cases)]
            for peer in contestants(Duo(bad.base_url, good.base_url, numbers), self.folder):
                self._play(peer)
        return self

    def _play(self, peer: Peer) -> None:
        self.say(f"{NAME}: {peer.name}")
        if peer.missing:
            self.skipped[peer.name] = peer.missing
            return
        self._tried.clear()
        try:
            with running(peer, self.folder) as process:
                self._await(peer, process)
                light = [one for one in self.cases if not one.scenario.alone]
                heavy = [one for one in self.cases if one.scenario.alone]
                with ThreadPoolExecutor(LANES) as pool:
                    found = [*pool.map(lambda case: self._ask(peer, case), light)]
                self.outcomes[peer.name] = found + [self._ask(peer, case) for case in heavy]
        except NotReady as error:
            self.skipped[peer.name] = str(error)

    def _await(self, peer: Peer, process: Process) -> None:
        """Until it serves a request well. Raises NotReady."""
        until, outcome = time.monotonic() + READY_WITHIN, None
        while time.monotonic() < until and not process.ended:
            outcome = self._ask(peer, Case(REHEARSAL, WELL, "plain"))
            if outcome.verdict == "pass":
                return
            time.sleep(0.1)
        raise NotReady(f"no good answer, the last was: {outcome.why if outcome else 'none'}")

    def _ask(self, peer: Peer, case: Case) -> Outcome:
        target, says = peer.target(str(case.number)), case.scenario.says
        body = saying.body(target.model, case.number, case.shape, says)
        got = client.ask(target.port, body, LIMITS.hung, target.path, target.headers)
        verdict, why = judge(saying.meaning(case.number, says), case.shape, got, LIMITS)
        if case.number not in self._tried:
            verdict, why = "fail", f"not tried: {why}"
        return Outcome(case.scenario.name, case.shape, verdict, why, got.seconds)

    # ---- the upstreams, each in a thread of its own

    def _faulty(self, request: Received) -> Script:
        number, scenario = self._called(request)
        self._tried.add(number)
        return _part(request, scenario, scenario.play)

    def _well(self, request: Received) -> Script:
        return _part(request, self._called(request)[1], well)

    def _called(self, request: Received) -> tuple[int, Scenario]:
        """Which case it is: the first part of the path."""
        first = request.path.split("/")[1]
        number = int(first) if first.isdigit() else REHEARSAL
        return number, next((one.scenario for one in self.cases if one.number == number), WELL)

    # ---- what came out

    def as_json(self) -> Mapping[str, Any]:
        told = {name: [attrs.asdict(one) for one in found] for name, found in self.outcomes.items()}
        return {"outcomes": told, "skipped": self.skipped}

    def lines(self) -> Iterator[str]:
        """A table of counts, and every failure."""
        yield f"{NAME}: {TEXT} ({len(self.cases)} cases)"
        yield "  ".join([" " * 20, *(verdict.rjust(12) for verdict in VERDICTS)])
        for name, found in self.outcomes.items():
            counts = Counter(one.verdict for one in found)
            yield "  ".join([name.ljust(20), *(str(counts[verdict]).rjust(12) for verdict in VERDICTS)])
        for name, found in self.outcomes.items():
            for one in found:
                if one.verdict == "fail":
                    yield f"{name}: fails {one.fault}, {one.shape}: {one.why}"
        for name, why in self.skipped.items():
            yield f"skipped: {name}: {why}"


def cases() -> Iterator[Case]:
    """Every fault that is a script of one upstream, in every shape it has."""
    number = REHEARSAL
    for scenario in catalogue().values():
        for shape in scenario.shapes if scenario.arrange is None else ():
            number += 1
            yield Case(number, scenario, shape)


def _part(request: Received, scenario: Scenario, play: Play) -> Script:
    speaker = saying.speaker(request, scenario.says)
    return play(speaker) if speaker else answer(404)
