"""What failover promises, counted over days of traffic: each promise on a trace that stands here."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmrouter.simulation import Task, play_all
from tests.simulation.plays import CONFIG, OUTAGES, play

FOUR_NINES = 0.9999
DOWN = {"up": "1000d", "down": "1s"}


@pytest.mark.parametrize(
    ("days", "seeds"), [(0.25, 2), pytest.param(7.0, 20, marks=pytest.mark.soak)], ids=["hours", "weeks"]
)
def test_outages_of_providers_are_not_outages_of_the_router(days: float, seeds: int) -> None:
    reports = play_all(Task(CONFIG, OUTAGES, days), range(seeds))
    worst = min(reports, key=lambda report: report.availability)
    assert worst.figures["outcomes"]["wrong"] == 0
    assert worst.availability >= FOUR_NINES, worst.figures


def test_a_total_outage_is_not_made_worse_by_retries(tmp_path: Path) -> None:
    outage = [{"at": "5m", "lasts": "10m", "how": 503}]
    trace = {
        "duration": "15m",
        "arrivals": {"every": "500ms"},
        "requests": [{"output": 40, "input": 50}],
        "upstreams": {"*": {"outages": outage}},
    }
    played = play(tmp_path, trace, profile="default")
    during = [one for one in played.records.all if one.facts.at >= _at(300)]
    calls = [step for step in played.records.attempts() if step.started >= _at(300)]
    assert len(during) > 1_000
    assert len(calls) <= 1.2 * len(during)


def test_a_provider_that_is_back_is_used_again_soon_and_gently(tmp_path: Path) -> None:
    trace = {
        "duration": "10m",
        "arrivals": {"every": "100ms"},
        "requests": [{"output": 20, "input": 20, "stream": False}],
        "upstreams": {"a": {"outages": [{"at": "5m", "lasts": "1m"}]}, "*": {}},
    }
    starts = play(tmp_path, trace, profile="default").records.starts("a")
    back, before = 360.0, len([one for one in starts if 200 <= one < 300]) / 100
    first = next(one for one in starts if one >= back)
    assert first <= back + 16
    soon = [one for one in starts if first <= one < first + 10]
    assert len(soon) <= 0.2 * before * 10
    assert len([one for one in starts if first + 60 <= one < first + 160]) >= 0.9 * before * 100


def test_a_time_out_is_paid_a_few_times_and_then_no_more(tmp_path: Path) -> None:
    trace = {
        "duration": "6h",
        "arrivals": {"every": "90s", "process": "regular"},
        "requests": [{"output": 40}, {"output": 40, "stream": False}],
        "upstreams": {"a": {"outages": [{"at": "0s", "lasts": "6h", "how": "hang"}]}, "*": {}},
    }
    played = play(tmp_path, trace, profile="default")
    paid = [one for one in played.records.all if one.ended - one.facts.at >= 30.0]
    assert played.outcomes == {"answered": len(played.records.all)}
    assert 0 < len(paid) <= 5


def _at(seconds: float) -> float:
    from llmrouter.simulation.driver import START

    return START + seconds
