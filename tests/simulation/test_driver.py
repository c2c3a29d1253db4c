"""Whole plays: the same seed gives the same report, and everything that happens is counted once."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llmrouter.simulation import Task, summary
from llmrouter.types import Attempt
from tests.simulation.plays import Played, play, written

BAD: dict[str, Any] = {
    "duration": "1h",
    "requests": [
        {"share": 3, "output": 80},
        {"stream": False, "output": 40, "temperature": 0},
        {"lasts": "30s", "dialect": "anthropic.messages", "patience": "40s"},
    ],
    "upstreams": {
        "*": {
            "first_output": {"p50": "300ms", "p95": "2s"},
            "limit": {"requests": 9, "per": "1m"},
            "failures": [
                {"share": 0.02, "how": how} for how in (500, 503, 429, "connect", "hang", "cut", "stall", "garbage")
            ],
            "outages": [{"up": "10m", "down": "1m"}, {"up": "20m", "down": "2m", "how": "hang"}],
        }
    },
    "shared_outages": {"share": 0.2},
}


def text(played: Played) -> str:
    return json.dumps(summary([played.report]))


def test_the_same_seed_gives_the_same_report_byte_by_byte(tmp_path: Path) -> None:
    one, again, other = (play(tmp_path, BAD, seed=seed) for seed in (3, 3, 4))
    assert text(one) == text(again)
    assert text(one) != text(other)
    assert [record.facts for record in one.records.all] == [record.facts for record in again.records.all]


def test_what_arrives_does_not_depend_on_what_is_answered(tmp_path: Path) -> None:
    well = play(tmp_path, BAD | {"upstreams": {"*": {}}}, seed=3)
    ill = play(tmp_path, BAD, seed=3)
    assert sorted(one.facts.at for one in well.records.all) == sorted(one.facts.at for one in ill.records.all)


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 10**6), profile=st.sampled_from(["default", "resilient", "agents", "batch"]), data=st.data()
)
def test_everything_is_counted_once(tmp_path: Path, seed: int, profile: str, data: st.DataObject) -> None:
    every = data.draw(st.sampled_from(["2s", "10s"]))
    trace = BAD | {"duration": "15m", "arrivals": {"every": every}}
    played = play(tmp_path, trace, seed=seed, profile=profile)
    figures, records = played.report.figures, played.records
    assert sum(figures["outcomes"].values()) == figures["requests"] == len(records.all)
    assert {one.facts.id for one in records.all} == {f"req_{number}" for number in range(len(records.all))}
    assert figures["outcomes"]["wrong"] == 0
    attempts = Counter(step.endpoint for step in records.attempts())
    assert {name: one["calls"] for name, one in figures["endpoints"].items()} == attempts
    assert figures["calls"] == attempts.total()
    served = sum(one["served"] for one in figures["endpoints"].values())
    failed = sum(sum(one["failures"].values()) for one in figures["endpoints"].values())
    assert served + failed == figures["calls"]
    assert figures["wasted"]["calls"] == failed


def test_clients_and_the_router_agree_how_requests_ended(tmp_path: Path) -> None:
    played = play(tmp_path, BAD, seed=5)
    recorded = Counter(record.outcome for record in played.records.all)
    said = played.report.figures["outcomes"]
    assert said["answered"] == recorded["complete"]
    assert {name: count for name, count in said.items() if name in ("refused", "broken")} == {
        "refused": recorded["refused"],
        "broken": recorded["broken"],
    }
    assert said["late"] == recorded["cancelled"] > 0


def test_what_is_billed_is_what_was_generated(tmp_path: Path) -> None:
    plain = {"duration": "20m", "requests": [{"output": 100, "input": 200, "stream": False}]}
    well = play(tmp_path, plain).report.figures
    assert well["cost"] == pytest.approx(well["requests"] * (100 * 4 + 200) / 1e6, rel=0.05)
    assert well["wasted"] == {"calls": 0, "cost": 0.0}
    cut = {
        "requests": [{"output": 100, "input": 200}],
        "upstreams": {"*": {"failures": [{"share": 0.5, "how": "cut"}]}},
    }
    ill = play(tmp_path, plain | cut, profile="agents").report.figures
    assert 0.2 < ill["wasted"]["cost"] / ill["cost"] < 0.6


def test_nothing_is_kept_and_nobody_is_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = tmp_path / "state"
    monkeypatch.setenv("LLMROUTER_STATE_DIR", str(state))
    played = play(tmp_path, {"duration": "1m"})
    assert played.outcomes == {"answered": len(played.records.all)}
    assert not state.exists()


def test_providers_and_stores_that_reach_outside_are_stood_in_for(tmp_path: Path) -> None:
    config = {
        "providers": {"far": {"plugin": "openai", "api_key": "k", "models": {"large": {}}}},
        "cache": {"plugin": "memory"},
        "quota": {"plugin": "sqlite", "path": str(tmp_path / "quota.db")},
    }
    played = play(tmp_path, {"requests": [{"model": "far/large"}]}, config=config)
    assert played.outcomes == {"answered": len(played.records.all)}
    assert played.report.figures["unpriced_calls"] == len(played.records.all)
    assert not (tmp_path / "quota.db").exists()


def test_no_key_is_needed(tmp_path: Path) -> None:
    providers = {"far": {"plugin": "openai", "api_key": "${NO_SUCH_KEY}", "models": {"large": {}}}}
    config = written(tmp_path / "llmrouter.yaml", {"providers": providers})
    figures = Task(config, days=0.01).play(1).figures
    assert figures["requests"] == figures["outcomes"]["answered"] > 0


def test_limits_of_the_configuration_are_the_routers_own(tmp_path: Path) -> None:
    limited = {
        "providers": {
            "a": {"plugin": "echo", "models": {"m": {}}, "limits": [{"requests": 6, "per": "minute"}]},
            "b": {"plugin": "echo", "models": {"m": {}}},
        },
        "groups": {"chat": ["a/m", "b/m"]},
        "routing": {"default": "chat"},
    }
    trace = {"duration": "1h", "upstreams": {"a": {"limit": {"requests": 6, "per": "1m"}}, "*": {}}}
    played = play(tmp_path, trace, config=limited)
    assert played.kinds == set(), "a limit that is declared is never run into"
    steps = [step.endpoint for one in played.records.all for step in one.steps if isinstance(step, Attempt)]
    assert steps.count("a/m") == pytest.approx(360, abs=10)
