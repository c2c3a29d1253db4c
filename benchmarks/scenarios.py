"""What is measured, and what is read off a measurement."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import frozen

from .bodies import BodyKind


@frozen(kw_only=True)
class Scenario:
    """One way of asking. `route` names the upstream; "{round}" in it is replaced, for what holds only once."""

    name: str
    text: str
    body: BodyKind
    route: str = "fast"
    connections: int
    requests: int = 0
    only: tuple[str, ...] = ()  # peers; none: all
    header: tuple[str, str] | None = None  # an answer's header and its value, without which it is not that scenario


ROUTERS = ("portkey", "litellm", "llmrouter")

SCENARIOS = (
    Scenario(name="chat-1", text="1 KB chat, 1 connection", body="chat", connections=1),
    Scenario(name="chat-16", text="1 KB chat, 16 connections", body="chat", connections=16),
    Scenario(
        name="cached",
        text="the same 1 KB chat, 16 connections",
        body="same",
        connections=16,
        only=("llmrouter",),
        header=("x-llmrouter-cache", "hit"),
    ),
    Scenario(name="large", text="109 KB chat, 4 connections", body="large", connections=4),
    Scenario(name="stream-4", text="4 streams, an event each 10 ms", body="stream", route="p10", connections=4),
    Scenario(name="stream-64", text="64 streams, an event each 20 ms", body="stream", route="p20", connections=64),
    Scenario(name="slow-20", text="2 connections, 20 ms upstream", body="chat", route="d20", connections=2),
    Scenario(name="slow-100", text="4 connections, 100 ms upstream", body="chat", route="d100", connections=4),
    Scenario(name="slow-400", text="8 connections, 400 ms upstream", body="chat", route="d400", connections=8),
    Scenario(
        name="failover-503",
        text="the first target answers 503",
        body="chat",
        route="down-{round}",
        connections=1,
        requests=3,
        only=ROUTERS,
    ),
    Scenario(
        name="failover-refused",
        text="the first target is not there",
        body="chat",
        route="refused-{round}",
        connections=1,
        requests=3,
        only=ROUTERS,
    ),
)

MOST_ROUNDS = 9
"""Failover routes are made for so many rounds: a target that was found bad is not asked again for a while."""


def figures(run: Mapping[str, Any], cpu_seconds: float | None) -> dict[str, float]:
    """The numbers of a run: µs of CPU and of latency, requests per second."""
    found: dict[str, float] = {"rate": run["rate"]}
    for name in ("latency_us", "first_event_us", "gap_us"):
        for quantile, value in run.get(name, {}).items():
            found[f"{name}.{quantile}"] = value
    if cpu_seconds is not None and run["finished"]:
        found["cpu_us"] = cpu_seconds * 1e6 / run["finished"]
        if run["all_events"]:
            found["event_cpu_us"] = cpu_seconds * 1e6 / run["all_events"]
    return found


def trouble(run: Mapping[str, Any]) -> str:
    """What went wrong in a run, in one line; "" if nothing did."""
    counts = [f"{run[name]} {name}" for name in ("bad", "errors", "hung") if run[name]]
    if not run["good"]:
        counts.append("no good answer")
    said = f": {run['bad_status']} {run.get('bad_text', '')[:120]}" if "bad_status" in run else ""
    return ", ".join(counts) + said if counts else ""
