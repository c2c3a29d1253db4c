"""The measurement: starts the peers, then goes round by round and peer by peer, so that noise hits all alike."""

from __future__ import annotations

import http.client
import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from attrs import define, field

from .bodies import MARKS, BodyKind, body, body_file
from .gateways import Peer
from .processes import PEER_CORE, Process
from .scenarios import Scenario, figures, trouble
from .tools import Load, compiled, run_load

READY_WITHIN = 120.0
SETTLE = 1.5


class NotReady(Exception):
    """A peer gave no good answer."""


@define
class Results:
    """All that was measured: facts of peers, and of each scenario the figures of every round."""

    facts: dict[str, dict[str, float]] = field(factory=dict)
    rounds: dict[str, dict[str, list[dict[str, float]]]] = field(factory=dict)  # scenario → peer → rounds
    skipped: dict[str, str] = field(factory=dict)
    troubles: list[str] = field(factory=list)

    def get(self, peer: str, scenario: str, figure: str) -> float | None:
        """The median over the rounds; None if it was not measured."""
        found = [one[figure] for one in self.rounds.get(scenario, {}).get(peer, []) if figure in one]
        return statistics.median(found) if found else None

    def fact(self, peer: str, name: str) -> float | None:
        return self.facts.get(peer, {}).get(name)

    def as_json(self) -> dict[str, Any]:
        return {
            "facts": self.facts,
            "rounds": self.rounds,
            "skipped": self.skipped,
            "troubles": self.troubles,
            "load_average": os.getloadavg(),
        }


@define(eq=False)
class Measurement:
    """One run over some peers. `say` receives lines about its progress."""

    peers: Sequence[Peer]
    scenarios: Sequence[Scenario]
    rounds: int
    seconds: float
    folder: Path
    tools: Path
    say: Callable[[str], None]
    results: Results = field(factory=Results)
    _running: dict[str, Process] = field(factory=dict)

    def run(self) -> Results:
        with ExitStack() as stack:
            for peer in self.peers:
                if peer.missing:
                    self._skip(peer, peer.missing)
                elif peer.command:
                    self._start(peer, stack)
            ready = [peer for peer in self.peers if peer.name not in self.results.skipped]
            for scenario in self.scenarios:
                self.say(f"{scenario.name}: {scenario.text}")
                for number in range(self.rounds):
                    for peer in ready:
                        self._round(peer, scenario, number)
            for name, process in self._running.items():
                self.results.facts[name]["loaded_mb"] = process.memory_mb()
        return self.results

    def _start(self, peer: Peer, stack: ExitStack) -> None:
        """Start it twice from cold; the second time it stays.

        A start before them is not measured: it leaves what installers leave of others, such as bytecode.
        """
        facts = []
        try:
            with running(peer, self.folder) as process:
                self._first_answer(peer, process)
            with running(peer, self.folder) as process:
                facts.append(self._first_answer(peer, process))
            process = stack.enter_context(running(peer, self.folder))
            facts.append(self._first_answer(peer, process))
            self._warm(peer)
        except NotReady as error:
            return self._skip(peer, str(error))
        time.sleep(SETTLE)
        self._running[peer.name] = process
        cold = statistics.median(facts)
        self.results.facts[peer.name] = {"cold_s": cold, "idle_mb": process.memory_mb()}
        return self.say(f"{peer.name} is ready after {cold:.2f} s")

    def _first_answer(self, peer: Peer, process: Process) -> float:
        """Seconds until it serves a request well. Raises NotReady."""
        started, last = time.perf_counter(), ""
        while (passed := time.perf_counter() - started) < READY_WITHIN:
            try:
                status, _, text = ask(peer, "chat")
                if status == 200 and MARKS["chat"].encode() in text:
                    return passed
                last = f"{status} {text[:200]!r}"
            except (OSError, http.client.HTTPException) as error:
                last = repr(error)
            if process.ended:
                said = process.log.read_text(errors="replace").strip().splitlines()[-3:]
                raise NotReady("it ended: " + " | ".join(said))
            time.sleep(0.005)
        raise NotReady(f"no good answer in {READY_WITHIN:.0f} s, the last was {last}")

    def _warm(self, peer: Peer) -> None:
        kinds: tuple[BodyKind, ...] = ("chat", "stream")
        for kind in kinds:
            target = peer.target("fast")
            load = Load(connections=8, seconds=min(1.0, self.seconds), warm_up=0, mark=MARKS[kind])
            run_load(self.tools / "load", target, body_file(kind, target.model, self.folder), load)

    def _round(self, peer: Peer, scenario: Scenario, number: int) -> None:
        if scenario.only and peer.name not in scenario.only:
            return
        target = peer.target(scenario.route.replace("{round}", str(number)))
        load = Load(
            connections=scenario.connections,
            seconds=self.seconds,
            # Streams are long: those that a slow peer began before the measurement would still run at its end.
            warm_up=0 if scenario.requests or scenario.body == "stream" else 0.3,
            requests=scenario.requests,
            mark=MARKS[scenario.body],
        )
        process = self._running.get(peer.name)
        before = process.cpu_seconds() if process else 0.0
        run = run_load(self.tools / "load", target, body_file(scenario.body, target.model, self.folder), load)
        spent = process.cpu_seconds() - before if process else None
        what = trouble(run) or self._is_another(peer, scenario)
        if what:
            self.results.troubles.append(f"{peer.name}, {scenario.name}: {what}")
            self.say(f"  {peer.name}: {what}")
        if run["good"] and not self._is_another(peer, scenario):
            rounds = self.results.rounds.setdefault(scenario.name, {}).setdefault(peer.name, [])
            found = figures(run, spent)
            if scenario.requests:
                del found["rate"]  # of a run that ended early
            rounds.append(found)

    def _is_another(self, peer: Peer, scenario: Scenario) -> str:
        """Why what was measured was not this scenario; "" if it was."""
        if scenario.header is None:
            return ""
        name, wanted = scenario.header
        found = ask(peer, scenario.body)[1].get(name)
        return "" if found == wanted else f"the answers say {name}: {found}, not {wanted}"

    def _skip(self, peer: Peer, why: str) -> None:
        self.results.skipped[peer.name] = why
        self.say(f"{peer.name} is skipped: {why}")


@contextmanager
def running(peer: Peer, folder: Path) -> Iterator[Process]:
    process = Process(peer.command, PEER_CORE, folder / f"{peer.name}.log", peer.env, peer.cwd)
    try:
        yield process
    finally:
        process.stop()


def ask(peer: Peer, kind: BodyKind) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of one request, without the load generator. Raises OSError or HTTPException."""
    target = peer.target("fast")
    connection = http.client.HTTPConnection("127.0.0.1", target.port, timeout=20)
    try:
        headers = {"content-type": "application/json", **target.headers}
        connection.request("POST", target.path, body(kind, target.model), headers)
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    finally:
        connection.close()


def prepare(tools: Path) -> None:
    """Compile the tools into a folder."""
    tools.mkdir(parents=True, exist_ok=True)
    for name in ("mock", "load"):
        compiled(name, tools)
