"""Many streams at once, upstreams that fail and clients that leave: nothing is left, and all is accounted.

LLMROUTER_SOAK_SECONDS says for how long (180).
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from attrs import define, field, frozen

from tests.faults.setups import config
from tests.faults.soaking import Child, child, resident

SECONDS = float(os.environ.get("LLMROUTER_SOAK_SECONDS", "180"))
FAULTS, LEAVE, SHARED = 0.2, 0.1, 0.05
"""Shares: of answers that are wrong, of clients that leave early, of requests that are the same."""
GROUPS = ("default", "resilient", "agents")
SLOPE = 1024 * 1024 / 5000
"""Bytes that a request may cost for good."""
LOOK = 1.0


@frozen
class Load:
    """`delay` is the pause between two words of an answer."""

    streams: int
    seconds: float
    delay: float


SHORT, LONG = Load(50, 3.0, 0.05), Load(1000, SECONDS, 0.6)


@define
class Seen:
    """What the clients saw."""

    whole: int = 0
    failed: int = 0
    left: int = 0
    wrong: list[str] = field(factory=list)

    @property
    def all(self) -> int:
        return self.whole + self.failed + self.left


@define
class Clients:
    url: str
    load: Load
    draw: random.Random
    until: float
    seen: Seen = field(factory=Seen)
    asked: int = 0

    async def run(self) -> None:
        """Ask until the time is up, each client again as soon as it was answered, at first one after the other."""
        await asyncio.gather(*(self._client(number) for number in range(self.load.streams)))

    async def _client(self, number: int) -> None:
        await asyncio.sleep(number / self.load.streams * 10 * self.load.delay)
        while time.monotonic() < self.until:
            self.asked += 1
            await self._ask(f"r{self.asked}", self.draw.choice(GROUPS))

    async def _ask(self, name: str, group: str) -> None:
        same = self.draw.random() < SHARED
        patience = self.draw.uniform(0, 15 * self.load.delay) if self.draw.random() < LEAVE else None
        name, more = ("same", {"temperature": 0, "seed": 1}) if same else (name, {})
        body = {
            "model": group,
            "messages": [{"role": "user", "content": "x"}],
            "stream": True,
            "user": name,
            **more,
        }
        host, port = self.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        try:
            writer.write(_post(json.dumps(body).encode(), name))
            async with asyncio.timeout(patience):
                self._judge(await reader.read(-1))
        except TimeoutError:
            self.seen.left += 1
        finally:
            writer.close()

    def _judge(self, answer: bytes) -> None:
        """An answer is whole, or says that it is not."""
        whole, failed = b"data: [DONE]" in answer, b'"error"' in answer
        self.seen.whole += whole
        self.seen.failed += failed and not whole
        if whole == failed:
            self.seen.wrong.append(answer[-500:].decode())


def _post(body: bytes, name: str) -> bytes:
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-session-id: {name}\r\n"
    return f"{head}content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body


@pytest.mark.parametrize("load", [SHORT, pytest.param(LONG, marks=pytest.mark.soak)], ids=["short", "long"])
def test_many_streams_leave_nothing_and_all_is_accounted(
    load: Load, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if not Path("/proc/self/statm").exists():
        pytest.skip("memory and open files are read from /proc")
    ledger, arrived = tmp_path / "ledger", tmp_path / "seen"

    def tell(line: str) -> None:
        with capsys.disabled():
            print(line, flush=True)

    script = {"seed": 7, "faults": FAULTS, "delay": load.delay, "seen": str(arrived)}
    with child("upstream", script) as upstream:
        setup = {"config": _setup(upstream.url, load), "ledger": str(ledger)}
        with child("router", setup) as router:
            asyncio.run(Clients(router.url, Load(20, 0, 0.01), random.Random(1), time.monotonic() + 1).run())
            upstream.look()
            before = _settled(router)
            clients = Clients(router.url, load, random.Random(7), time.monotonic() + load.seconds)
            memory = asyncio.run(_watched(clients, router, tell))
            calls = upstream.look()["calls"]
            after = _settled(router, before)
    slope, seen = _slope(memory), clients.seen
    tell(
        f"soak: {seen.all} requests of {load.streams} clients at once: {seen.whole} whole, {seen.failed} failed, "
        f"{seen.left} left; {calls} calls; {slope:.0f} bytes a request; tasks, files "
        f"{before['tasks'], before['files']} → {after['tasks'], after['files']}; "
        f"{after['used']['tokens']:.0f} tokens, {after['used']['usd']:.4f} USD in the store"
    )
    assert not seen.wrong, f"neither whole nor told: {seen.wrong[0]}"
    assert seen.whole > seen.all / 2
    _assert_nothing_is_left(before, after)
    _assert_accounted(ledger.read_text(), json.loads(arrived.read_text()), after["used"])
    if load is LONG:
        assert slope < SLOPE, "memory grows"


def _setup(base: str, load: Load) -> Any:
    patience = 12 * load.delay
    timeouts = {"connect": "2s", "headers": f"{patience}s", "ttft_hard": f"{patience}s", "idle": f"{patience}s"}
    groups: dict[str, Any] = {name: {"members": [["a/m", "b/m"]], "engine": {"profile": name}} for name in GROUPS}
    engine = {"timeouts": timeouts, "deadline": "60s"}
    whole = json.loads(
        config({"a": base, "b": base}, groups, engine=engine, breaker=None, quota={"plugin": "sqlite"})
    )
    for provider in whole["providers"].values():
        provider["models"] = {"m": {"price": {"input": 1, "output": 2}}}
        provider["limits"] = [
            {"concurrent": 5000},
            {"usd": 100_000, "per": "month"},
            {"tokens": 1_000_000_000, "per": "month"},
        ]
    return whole


async def _watched(clients: Clients, router: Child, tell: Callable[[str], None]) -> list[tuple[int, int]]:
    """Run the clients. Requests so far, and bytes that the router had then, once a second."""
    began, running, memory = time.monotonic(), asyncio.create_task(clients.run()), []
    while not running.done():
        await asyncio.wait([running], timeout=LOOK)
        memory.append((clients.seen.all, resident(router.pid)))
        if len(memory) % 10 == 0:
            seen, size = clients.seen, memory[-1][1] // 1024
            ended = f"{seen.whole} whole, {seen.failed} failed, {seen.left} left"
            tell(f"soak: {time.monotonic() - began:.0f} s, {clients.asked} asked, {ended}, {size} KB")
    await running
    return memory


def _settled(router: Child, least: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """How the router is once nothing is under way, or after ten seconds."""
    for _ in range(50):
        found = router.look()
        if (
            found["under_way"] == 0
            and found["used"]["concurrent"] == 0
            and found["tasks"] <= (least or found)["tasks"]
        ):
            break
        time.sleep(0.2)
    time.sleep(1.5)  # slices expire
    return router.look()


def _slope(memory: list[tuple[int, int]]) -> float:
    """Bytes a request, by least squares over the second half of the requests."""
    late = [(count, size) for count, size in memory if count > memory[-1][0] / 2]
    x, y = sum(count for count, _ in late) / len(late), sum(size for _, size in late) / len(late)
    spread = sum((count - x) ** 2 for count, _ in late)
    return sum((count - x) * (size - y) for count, size in late) / spread if spread else 0.0


def _assert_nothing_is_left(before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    assert after["under_way"] == after["load"] == after["flights"] == 0
    assert after["used"]["concurrent"] == 0, "a reservation is left"
    assert after["tasks"] <= before["tasks"], "a task is left"
    assert after["files"] <= before["files"], "a socket is left"


def _assert_accounted(ledger: str, arrived: Mapping[str, int], used: Mapping[str, float]) -> None:
    """Every call is in the record of its request, and the store counts what the records say."""
    attempts, unsent, tokens, dollars = Counter[str](), Counter[str](), 0, 0.0
    for line in ledger.splitlines():
        name, made, never, spent, cost = line.split()
        attempts[name] += int(made)
        unsent[name] += int(never)
        tokens += int(spent)
        dollars += float(cost)
    odd = {name: (arrived.get(name, 0), made) for name, made in attempts.items()}
    odd = {name: (n, made) for name, (n, made) in odd.items() if not made - unsent[name] <= n <= made}
    assert not odd, f"calls seen, and attempts recorded: {odd}"
    assert arrived.keys() <= attempts.keys()
    assert used["tokens"] == tokens
    assert used["usd"] == pytest.approx(dollars)
