"""Thousands of requests to an upstream that does everything wrong leave nothing behind."""

from __future__ import annotations

import gc
import logging
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
from tests.telling import Tell

SLOW = ("endless_headers", "flood", "giant_event", "slow_drip")
HELD = (
    "redirect",
    "status_401",
    "status_402",
    "status_403",
    "status_404",
    "status_429",
    "status_503",
    "status_529",
)
"""After these an upstream is spared for a while, and nothing more would go wrong."""
QUICK = {"timeouts": {"connect": "1s", "headers": "200ms", "ttft_hard": "200ms", "idle": "200ms"}, "wait_max": "0s"}
WHAT = "tasks, open files, kilobytes"
WARM = CHUNK = 500
SLOPE, GROWTH = 1024, 12 * 1024 * 1024
"""Bytes that a request may cost for good, and that the process may grow by: a leaked exchange is far more."""


@pytest.mark.parametrize("count", [500, pytest.param(10_000, marks=pytest.mark.soak)])
def test_faulty_requests_leave_no_task_no_file_and_no_memory(
    count: int, tell: Tell, caplog: pytest.LogCaptureFixture
) -> None:
    if not Path("/proc/self/statm").exists():
        pytest.skip("memory and open files are read from /proc")
    caplog.set_level(logging.CRITICAL, "llmrouter")  # what is captured is kept in memory
    draw = random.Random(7)
    scripts = [fault.script for fault in faults() if not fault.name.startswith(SLOW + HELD)] + [chat()] * 10
    with Upstream(chosen(lambda request: draw.choice(scripts))) as upstream:
        setup = config(
            {"a": f"{upstream.base_url}/a", "b": f"{upstream.base_url}/b"},
            {"both": ["a/m", "b/m"]},
            engine=QUICK,
            breaker=None,
        )
        with serving(setup) as router:
            _ask(router, upstream, WARM)
            before = _left(router, upstream)
            rounds = [_ask(router, upstream, CHUNK) for _ in range(count // CHUNK)]
            answered, tried = (sum(column) for column in zip(*rounds, strict=True))
            after = _left(router, upstream, before[:2])
    tell(f"soak: {count} requests, {tried} attempts, {answered} answered in full; {WHAT} {before} → {after}")
    assert after[0] <= before[0]
    assert after[1] <= before[1]
    assert (after[2] - before[2]) * 1024 < SLOPE * count + GROWTH
    assert answered > 0


def _ask(router: Serving, upstream: Upstream, count: int) -> tuple[int, int]:
    """How many were answered in full, and after how many attempts; every other answer says that it is an error."""
    upstream.clear()

    def ask(number: int) -> bool:
        answer = router.chat("both", stream=number % 2 == 0, max_tokens=2)
        whole = answer.status == 200 and (not answer.data or answer.data[-1] == "[DONE]")
        assert whole or answer.error, answer.body[:300]
        return whole

    return at_once(count, ask, 16).count(True), len(upstream.requests)


def _left(router: Serving, upstream: Upstream, least: tuple[int, int] = (0, 0)) -> tuple[int, int, int]:
    """Tasks of the router, open files and kilobytes of this process, once no connection is open any more.

    Looks again for up to two seconds, or until there is no more than `least`.
    """
    upstream.clear()
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
