"""What failover promises, counted over days of traffic: each promise on a trace that stands here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from llmrouter.settings import BreakerSettings, TimeoutSettings
from llmrouter.simulation import Task, play_all
from llmrouter.simulation.driver import START
from tests.simulation.plays import CONFIG, OUTAGES, play

FOUR_NINES = 0.9999
HOUR = 3_600.0


@pytest.mark.parametrize(
    ("days", "seeds"), [(0.2, 2), pytest.param(7.0, 20, marks=pytest.mark.soak)], ids=["hours", "weeks"]
)
def test_outages_of_providers_are_not_outages_of_the_router(days: float, seeds: int) -> None:
    reports = play_all(Task(CONFIG, OUTAGES, days), range(seeds))
    worst = min(reports, key=lambda report: report.availability)
    assert worst.figures["outcomes"]["wrong"] == 0
    assert worst.availability >= FOUR_NINES, worst.figures


def test_no_answer_is_stitched_together_of_two(tmp_path: Path) -> None:
    """What the promise above says of `wrong`, whatever becomes of the rest of it."""
    for profile in ("default", "resilient", "agents"):
        figures = play(tmp_path, OUTAGES, duration=HOUR, profile=profile).report.figures
        assert figures["requests"] > 500
        assert figures["outcomes"]["wrong"] == 0
        assert figures["availability"] >= 0.99


@pytest.mark.parametrize(
    "how",
    [
        503,
        "connect",
        "hang",
    ],
)
def test_a_total_outage_is_not_made_worse_by_retries(how: int | str, tmp_path: Path) -> None:
    trace = {
        "duration": "15m",
        "arrivals": {"every": "500ms"},
        "requests": [{"output": 40, "input": 50}],
        "upstreams": {"*": {"outages": [{"at": "5m", "lasts": "10m", "how": how}]}},
    }
    records = play(tmp_path, trace, profile="default").records
    during = [one for one in records.all if one.facts.at >= START + 300]
    calls = [step for step in records.attempts() if step.started >= START + 300]
    assert len(during) > 1_000
    assert len(calls) <= 1.2 * len(during)


@pytest.mark.parametrize("how", ["connect", "hang", 500])
@pytest.mark.parametrize("seed", range(2))
def test_a_provider_that_is_back_is_used_again_soon_and_gently(seed: int, how: int | str, tmp_path: Path) -> None:
    trace = {
        "duration": "8m",
        "arrivals": {"every": "200ms"},
        "requests": [{"output": 20, "input": 20, "stream": False}],
        "upstreams": {"a": {"outages": [{"at": "5m", "lasts": "1m", "how": how}]}, "*": {}},
    }
    attempts = play(tmp_path, trace, seed=seed, profile="default").records.attempts("a")
    back, starts = 360.0, sorted(step.started - START for step in attempts)
    before = count(starts, 200, 300) / 100
    first = min(step.started - START for step in attempts if step.failure is None and step.started >= START + back)
    assert first <= back + 16
    assert count(starts, first, first + 10) <= 0.2 * before * 10
    assert count(starts, 430, 480) >= 0.9 * before * 50


def test_a_time_out_is_paid_a_few_times_and_then_no_more(tmp_path: Path) -> None:
    trace = {
        "duration": "6h",
        "arrivals": {"every": "90s", "process": "regular"},
        "requests": [{"output": 40}, {"output": 40, "stream": False}],
        "upstreams": {"a": {"outages": [{"at": "0s", "lasts": "6h", "how": "hang"}]}, "*": {}},
    }
    played = play(tmp_path, trace, profile="default")
    paid = [one for one in played.records.all if one.ended - one.facts.at >= TimeoutSettings().headers]
    assert played.outcomes == {"answered": len(played.records.all)}
    assert 0 < len(paid) <= BreakerSettings().consecutive


def count(starts: Sequence[float], begin: float, end: float) -> int:
    return len([one for one in starts if begin <= one < end])
