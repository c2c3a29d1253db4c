"""Thousands of requests to an upstream that does everything wrong leave nothing behind."""

from __future__ import annotations

import gc
import os
import random
import threading
from pathlib import Path

import pytest

from llmrouter.testing.upstream import Upstream
from llmrouter.testing.upstream_faults import faults
from llmrouter.testing.upstream_openai import chat
from llmrouter.testing.upstream_scripts import chosen
from tests.calling import at_once
from tests.faults.setups import config
from tests.harness import Serving, serving

SLOW = ("endless_headers", "flood", "giant_event", "slow_drip", "status_429_hours", "status_429_year")
QUICK = {"timeouts": {"connect": "1s", "headers": "200ms", "ttft_hard": "200ms", "idle": "200ms"}, "wait_max": "0s"}
WARM = 200
SLOPE = 4096
"""Bytes a request may cost for good, before it counts as a leak; a leaked exchange is several times that."""


@pytest.mark.parametrize("count", [500, pytest.param(10_000, marks=pytest.mark.soak)])
def test_faulty_requests_leave_no_task_no_file_and_no_memory(
    count: int, capsys: pytest.CaptureFixture[str]
) -> None:
    if not Path("/proc/self/statm").exists():
        pytest.skip("memory and open files are read from /proc")
    draw = random.Random(7)
    scripts = [fault.script for fault in faults() if fault.name not in SLOW] + [chat()] * 20
    with Upstream(chosen(lambda request: draw.choice(scripts))) as upstream:
        setup = config(
            {"a": f"{upstream.base_url}/a", "b": f"{upstream.base_url}/b"},
            {"both": ["a/m", "b/m"]},
            engine=QUICK,
            breaker=None,
        )
        with serving(setup) as router:
            _ask(router, WARM, 0)
            before = _left(router, upstream)
            answered = _ask(router, count, WARM)
            after = _left(router, upstream, before[:2])
    with capsys.disabled():
        print(f"\nsoak: {count} requests, {answered} answered in full; tasks, files, kilobytes {before} → {after}")
    assert after[0] <= before[0]
    assert after[1] <= before[1]
    assert (after[2] - before[2]) * 1024 < SLOPE * count + 16 * 1024 * 1024
    assert answered > 0


def _ask(router: Serving, count: int, seed: int) -> int:
    """How many of them were answered in full; every other answer is an error that says so."""

    def ask(number: int) -> bool:
        answer = router.chat("both", stream=(number + seed) % 2 == 0, max_tokens=2)
        whole = answer.status == 200 and (not answer.data or answer.data[-1] == "[DONE]")
        assert whole or answer.error, answer.body[:300]
        return whole

    return at_once(count, ask, 16).count(True)


def _left(router: Serving, upstream: Upstream, least: tuple[int, int] = (0, 0)) -> tuple[int, int, int]:
    """Tasks of the router, open files and kilobytes of this process, once no connection is open any more.

    Looks again for up to two seconds, or until there is no more than `least`.
    """
    router.close_all()
    upstream.refuse()
    upstream.accept()
    files, wait = Path("/proc/self/fd"), threading.Event()
    for _ in range(40):
        gc.collect()
        seen = (router.tasks(), sum(1 for _ in files.iterdir()))
        if seen[0] <= least[0] and seen[1] <= least[1]:
            break
        wait.wait(0.05)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return (*seen, pages * os.sysconf("SC_PAGE_SIZE") // 1024)
