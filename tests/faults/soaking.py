"""Processes of a soak: a router that keeps accounts, and upstreams that do a share of their answers wrong.

    python -m tests.faults.soaking router|upstream     (started by `child`)

Each reads what it needs from the first line of its input, answers with its address, and every further line with
a look at itself. All lines are JSON.
"""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from llmrouter.catalogue.prices import expected_output
from llmrouter.testing.upstream import Line, Script, Upstream
from llmrouter.testing.upstream_faults import faults
from llmrouter.testing.upstream_openai import chat
from llmrouter.types import Attempt, RequestRecord
from tests.calling import TIMEOUT
from tests.harness import Serving, serving

HEAVY = ("endless_headers", "flood", "giant_event")
HELD = ("status_401", "status_402", "status_403", "status_404", "status_429", "redirect")
"""After these an upstream is spared for minutes or more, and nothing more would go wrong."""
UNSENT = ("cancelled", "lost", "connect", "timeout_headers")
"""What may become of a call before its upstream has read it."""


@contextmanager
def child(role: str, about: Mapping[str, Any]) -> Iterator[Child]:
    """A process of its own, for as long as the block runs."""
    command = [sys.executable, "-m", "tests.faults.soaking", role]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as running:
        try:
            yield Child(running, about)
        finally:
            assert running.stdin
            running.stdin.close()
            running.wait(TIMEOUT * 2)


class Child:
    def __init__(self, running: subprocess.Popen[str], about: Mapping[str, Any]) -> None:
        self.pid = running.pid
        self._running = running
        self.url: str = self.look(about)["url"]

    def look(self, about: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """What it says of itself now."""
        assert self._running.stdin
        assert self._running.stdout
        print(json.dumps(about or {}), file=self._running.stdin, flush=True)
        found: dict[str, Any] = json.loads(self._running.stdout.readline())
        return found


# ---- the router


class Ledger:
    """A sink that writes of each request: its name, its attempts, those perhaps never sent, tokens and dollars."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self.records = self.complete = 0

    def record(self, record: RequestRecord) -> None:
        self.records += 1
        self.complete += record.outcome == "complete"
        lines = [step for step in record.steps if isinstance(step, Attempt)]
        unsent = sum(one.failure is not None and one.failure.kind in UNSENT for one in lines)
        guess = record.facts.input_tokens + expected_output(record.facts)
        tokens = sum(guess if one.estimated else one.usage.prompt + one.usage.completion for one in lines)
        print(record.facts.session, len(lines), unsent, tokens, record.cost, file=self._file)


def router(about: Mapping[str, Any]) -> None:
    logging.getLogger("llmrouter").setLevel(logging.CRITICAL)
    with serving(json.dumps(about["config"])) as served, Path(about["ledger"]).open("w") as file:
        ledger = Ledger(file)
        served.router.engine.sinks.append(ledger)
        answer({"url": served.base_url})
        for _ in sys.stdin:
            gc.collect()
            assert served.loop
            asked = asyncio.run_coroutine_threadsafe(_looked(served), served.loop)
            answer({**asked.result(TIMEOUT), "records": ledger.records, "complete": ledger.complete})
            file.flush()


async def _looked(served: Serving) -> dict[str, Any]:
    engine, world = served.router.engine, served.router.world
    buckets = world.limits.all(world.endpoints.values())
    used: Counter[str] = Counter()
    for bucket, amount in (await engine.quota._store.usage(buckets)).items():
        used[bucket.unit] += amount
    return {
        "tasks": len(asyncio.all_tasks()),
        "files": sum(1 for _ in Path("/proc/self/fd").iterdir()),
        "under_way": engine.under_way,
        "load": sum(engine.health.look(endpoint).load for endpoint in world.endpoints.values()),
        "flights": len(engine.flights),
        "used": used,
    }


# ---- the upstreams


def upstream(about: Mapping[str, Any]) -> None:
    draw, seen = random.Random(about["seed"]), Counter[str]()
    good = chat("It takes a while to say all of this, word by word.", delay=about["delay"])
    bad = [fault.script for fault in faults() if not fault.name.startswith(HEAVY + HELD)]

    async def script(line: Line) -> None:
        seen[line.request.json["user"]] += 1
        one: Script = draw.choice(bad) if draw.random() < about["faults"] else good
        server.requests.clear()
        await one(line)

    with Upstream(script) as server:
        answer({"url": server.base_url})
        for _ in sys.stdin:
            server.refuse()  # connections that nobody uses are kept open otherwise
            server.accept()
            answer({"calls": seen.total()})
        Path(about["seen"]).write_text(json.dumps(seen))


def answer(what: Mapping[str, Any]) -> None:
    print(json.dumps(what), flush=True)


def resident(pid: int) -> int:
    """Bytes of memory that a process has."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    {"router": router, "upstream": upstream}[sys.argv[1]](json.loads(sys.stdin.readline()))
