"""Workers of one machine take turns at probing: real processes, a real file."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from llmrouter.engine.probe_lock import FileLock, probe_lock

WORKER = """
import random, sys
from pathlib import Path
from llmrouter.engine.health import Health
from llmrouter.engine.probe_lock import probe_lock
from llmrouter.settings import BreakerSettings
from llmrouter.types import Account, Endpoint, Failure, Hold

account, now, tickets = Account("1", "g"), 0.0, {}

def endpoint(model):
    return Endpoint(provider="a", model=model, dialects=("openai.chat",), accounts=(account,))

with probe_lock(Path(sys.argv[1])) as lock:
    health = Health(BreakerSettings(), lambda: now, random.Random(int(sys.argv[2])), lock)
    for line in sys.stdin:
        word, model = line.split()
        if word == "break":
            for _ in range(5):
                health.begin(endpoint(model), account).end(Failure(kind="server_error", scope="endpoint"), None)
            now += 20
        elif word == "end":
            tickets.pop(model).end(Failure(kind="cancelled", scope="request"), None)
        elif isinstance(claimed := health.claim(endpoint(model), account, health.clock()), Hold):
            word = "held"
            now += 2
        else:
            tickets[model], word = claimed, "probe" if claimed.probing else "call"
        print(word, flush=True)
"""
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="a worker there probes by itself")


class Worker:
    """A process with a health of its own."""

    def __init__(self, path: Path, seed: int) -> None:
        command = [sys.executable, "-c", WORKER, str(path), str(seed)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def tell(self, word: str, model: str) -> str:
        assert self.process.stdin
        assert self.process.stdout
        print(word, model, file=self.process.stdin, flush=True)
        return self.process.stdout.readline().strip()

    def half_open(self, model: str) -> None:
        assert self.tell("break", model) == "break"

    def end(self) -> None:
        """Kill it: nothing of its own runs any more."""
        with self.process:
            self.process.kill()


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("state") / "probes.lock"


@pytest.fixture(scope="module")
def workers(path: Path) -> Iterator[list[Worker]]:
    started = [Worker(path, seed) for seed in range(4)]
    yield started
    for worker in started:
        worker.end()


def test_of_four_workers_one_probes_a_half_open_circuit(workers: list[Worker]) -> None:
    for worker in workers:
        worker.half_open("m")
    for _ in range(8):
        said = [worker.tell("claim", "m") for worker in workers]
        assert sorted(said) == ["held", "held", "held", "probe"]
        workers[said.index("probe")].tell("end", "m")


def test_every_worker_gets_its_turn(workers: list[Worker]) -> None:
    for worker in workers:
        worker.half_open("in-turn")
    for worker in workers:
        assert worker.tell("claim", "in-turn") == "probe"
        worker.tell("end", "in-turn")


def test_circuits_do_not_stand_in_each_others_way(workers: list[Worker]) -> None:
    for number, worker in enumerate(workers):
        worker.half_open(f"own-{number}")
        assert worker.tell("claim", f"own-{number}") == "probe"


def test_a_worker_that_dies_leaves_nothing_locked(workers: list[Worker], path: Path) -> None:
    dying = Worker(path, 9)
    for worker in (dying, workers[0]):
        worker.half_open("dying")
    assert dying.tell("claim", "dying") == "probe"
    assert workers[0].tell("claim", "dying") == "held"
    dying.end()
    assert workers[0].tell("claim", "dying") == "probe"


def test_a_file_system_without_locks_keeps_nobody_from_probing() -> None:
    lock = FileLock(10**6)  # no such file: every call fails
    assert lock.take("endpoint:a/m")
    lock.give("endpoint:a/m")


def test_the_file_is_this_users_alone_and_stays_empty(tmp_path: Path) -> None:
    path = tmp_path / "probes.lock"
    with probe_lock(path) as lock:
        assert lock.take("endpoint:a/m")
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.stat().st_size == 0
