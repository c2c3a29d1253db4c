"""Clients that leave at any moment, over real sockets and a real store: no task, file or reservation is left."""

from __future__ import annotations

import asyncio
import gc
import json
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen

from llmrouter.server import connection
from llmrouter.testing.upstream import Line, Script, Upstream
from llmrouter.testing.upstream_faults import named
from llmrouter.testing.upstream_openai import TEXT, chat
from llmrouter.testing.upstream_scripts import chosen
from llmrouter.types import Attempt, Bucket, RequestRecord
from tests.calling import TIMEOUT, at_once
from tests.faults.setups import config
from tests.faults.test_disconnect import send
from tests.harness import Serving, serving
from tests.house import Records

MOMENTS = 60
STEP = 0.001
"""Seconds from one moment to the next at which a client leaves; the last ones get their answer first."""
THREADS = 8
FILES = Path("/proc/self/fd")


@frozen(kw_only=True)
class Way:
    """How the first upstream behaves, how the second does, and what the router makes of it."""

    first: Script
    second: Script = chat(delay=0.001)
    stream: bool = True
    engine: Mapping[str, Any] = {}
    concurrent: int = 50


WAYS = {
    "plain": Way(first=named("truncated_json").script, stream=False),
    "stream": Way(first=named("status_500").script),
    "hedged": Way(first=Line.pause, engine={"hedge": {"at": "5ms", "budget": 1.0}}),
    "hedged, plain": Way(first=Line.pause, stream=False, engine={"hedge": {"at": "5ms", "budget": 1.0}}),
    "verify": Way(first=named("cut_late").script, engine={"stream": {"on_break": "verify"}}),
    "buffer": Way(first=named("cut_late").script, engine={"stream": {"on_break": "buffer"}}),
    "kept alive": Way(first=named("hang_after_headers").script, engine={"stream": {"keep_alive": "3ms"}}),
    "waiting": Way(first=chat(delay=0.002), second=chat(delay=0.002), concurrent=1),
}


@pytest.mark.parametrize("name", WAYS)
def test_clients_that_leave_at_any_moment_leave_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if not FILES.exists():
        pytest.skip("open files are read from /proc")
    monkeypatch.setattr(connection, "BEAT", STEP)  # a client that left is noticed at once
    way, scripts = WAYS[name], {}
    with Upstream(chosen(lambda request: scripts[request.path[1]])) as upstream:
        scripts.update(a=way.first, b=way.second)
        with serving(_setup(upstream.base_url, way)) as router:
            records = Records()
            router.router.engine.sinks.append(records)
            assert router.chat("b/m").text == TEXT
            router.close()
            before = _left(router, upstream)
            at_once(MOMENTS, lambda number: _leave(router, way.stream, number * STEP), THREADS)
            after = _left(router, upstream, before)
            assert len(records.all) == MOMENTS + 1, "one record for each request"
            assert "cancelled" in {record.outcome for record in records.all}
            assert after[0] <= before[0], "a task is left"
            assert after[1] <= before[1], "an open file is left"
            _assert_accounted(records.all, len(upstream.requests))
            _assert_books_agree(router, records.all)


def _setup(base: str, way: Way) -> str:
    whole = json.loads(
        config(
            {"a": f"{base}/a", "b": f"{base}/b"},
            {"both": [["a/m"], ["b/m"]]},
            engine={"timeouts": {"headers": "20ms", "ttft_hard": "20ms", "idle": "2s"}, **way.engine},
            breaker=None,
            quota={"plugin": "sqlite"},
        )
    )
    for provider in whole["providers"].values():
        provider["models"] = {"m": {"price": {"input": 1, "output": 2}}}
        provider["limits"] = [{"concurrent": way.concurrent}, {"usd": 1000, "per": "day"}]
    return json.dumps(whole)


def _leave(router: Serving, stream: bool, after: float) -> None:
    with send(router, stream, "both") as line:
        threading.Event().wait(after)


def _left(router: Serving, upstream: Upstream, least: tuple[int, int] = (0, 0)) -> tuple[int, int]:
    """Tasks of the router and open files of this process, once there are no more than `least`, or after a while."""
    wait = threading.Event()
    for _ in range(60 if any(least) else 6):
        gc.collect()
        upstream.refuse()
        upstream.accept()
        seen = router.tasks(), sum(1 for _ in FILES.iterdir())
        if seen[0] <= least[0] and seen[1] <= least[1]:
            break
        wait.wait(0.05)
    return seen


def _assert_accounted(records: list[RequestRecord], seen: int) -> None:
    """Every call is in a record. One that was cancelled on its way may never have arrived."""
    lines = [step for record in records for step in record.steps if isinstance(step, Attempt)]
    gone = [one for one in lines if one.failure and one.failure.kind in ("cancelled", "lost", "timeout_headers")]
    assert len(lines) - len(gone) <= seen <= len(lines)


def _assert_books_agree(router: Serving, records: list[RequestRecord]) -> None:
    """The store counts what the records say, and nothing is in flight."""
    assert router.loop
    engine, world = router.router.engine, router.router.world
    assert engine.under_way == 0
    assert all(engine.health.look(endpoint).load == 0 for endpoint in world.endpoints.values())
    spent = sum(record.cost or 0.0 for record in records)
    buckets = world.limits.all(world.endpoints.values())

    async def used() -> Mapping[Bucket, float]:
        found: Mapping[Bucket, float] = await engine.quota._store.usage(buckets)
        return found

    wait = threading.Event()
    for _ in range(60):  # slices live for a second
        counted = asyncio.run_coroutine_threadsafe(used(), router.loop).result(TIMEOUT)
        dollars = sum(amount for bucket, amount in counted.items() if bucket.unit == "usd")
        busy = sum(amount for bucket, amount in counted.items() if bucket.unit == "concurrent")
        if busy == 0 and dollars == pytest.approx(spent):
            return
        wait.wait(0.05)
    assert busy == 0, "the store still counts a request in flight"
    assert dollars == pytest.approx(spent), "the store counts other dollars than were spent"
