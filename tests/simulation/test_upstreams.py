"""Scripted upstreams: each way to fail is what the engine takes it for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from llmrouter.types import Attempt, RequestRecord
from tests.simulation.plays import Played, play

ONE = {
    "providers": {"a": {"plugin": "echo", "models": {"m": {}}}},
    "groups": {"chat": ["a/m"]},
    "routing": {"default": "chat"},
    "breaker": None,
}
SHAPES = [{"stream": True, "lasts": "10s"}, {"stream": False, "lasts": "10s"}]


def failing(tmp_path: Path, upstream: dict[str, Any], **engine: Any) -> Played:
    """Upstream `a` as told, and nobody beside it."""
    trace = {"duration": "30m", "arrivals": {"every": "1m"}, "requests": SHAPES, "upstreams": {"a": upstream}}
    return play(tmp_path, trace, config=ONE, retry_budget={"burst": 0, "per_second": 0, "ratio": 0}, **engine)


@pytest.mark.parametrize(
    ("how", "kinds"),
    [
        (401, {"auth"}),
        (429, {"rate_limited"}),
        (500, {"server_error"}),
        (529, {"overloaded"}),
        ("connect", {"connect"}),
        ("hang", {"timeout_headers"}),
        ("cut", {"truncated"}),
        ("stall", {"stall", "timeout_ttft"}),
        ("garbage", {"malformed_chunk"}),
    ],
)
def test_a_failure_is_of_its_class(how: int | str, kinds: set[str], tmp_path: Path) -> None:
    played = failing(tmp_path, {"failures": [{"share": 1.0, "how": how}]})
    assert played.kinds == kinds
    assert "answered" not in played.outcomes


def test_an_answer_that_says_nothing_is_none(tmp_path: Path) -> None:
    played = failing(tmp_path, {"failures": [{"share": 1.0, "how": "empty"}]})
    assert {*played.outcomes} <= {"broken", "refused"}
    assert {flaw.kind for step in played.records.attempts() if (flaw := step.flaw or step.failure)} == {"degraded"}


@pytest.mark.parametrize(
    ("how", "kinds"), [("connect", {"connect"}), (503, {"server_error"}), ("hang", {"timeout_headers"})]
)
def test_who_is_away_answers_nobody(how: int | str, kinds: set[str], tmp_path: Path) -> None:
    played = failing(tmp_path, {"outages": [{"at": "0s", "lasts": "31m", "how": how}]})
    assert played.kinds == kinds
    assert "answered" not in played.outcomes


@pytest.mark.parametrize(
    ("how", "stream", "kind", "after"),
    [
        ("connect", True, "truncated", 0.0),
        (503, True, "truncated", 0.0),
        ("hang", True, "stall", 30.0),
        ("connect", False, "connect", 0.0),
    ],
)
def test_what_runs_when_an_outage_begins_is_cut(
    how: int | str, stream: bool, kind: str, after: float, tmp_path: Path
) -> None:
    trace = {
        "duration": "70s",
        "arrivals": {"every": "1m", "process": "regular"},
        "requests": [{"stream": stream, "lasts": "20s"}],
        "upstreams": {"a": {"outages": [{"at": "1m10s", "lasts": "1h", "how": how}]}},
    }
    [step, *_] = play(tmp_path, trace, config=ONE, fallback=False).records.attempts()
    assert step.failure
    assert step.failure.kind == kind
    assert step.ended - step.started == pytest.approx(10.0 + after, abs=6.0 if after else 0.01)


def test_beyond_its_limit_an_upstream_says_when_to_come_back(tmp_path: Path) -> None:
    trace = {
        "duration": "10m",
        "arrivals": {"every": "5s", "process": "regular"},
        "requests": [{"output": 10}],
        "upstreams": {"a": {"limit": {"requests": 4, "per": "1m"}}},
    }
    played = play(tmp_path, trace, config=ONE, wait_max="1ms", queue={"max_wait": "1ms"})
    for minute in range(1, 9):
        steps = [step for one in played.records.all for step in asked(one, minute)]
        assert [step.failure.kind if step.failure else "" for step in steps] == ["", "", "", "", "rate_limited"]
        assert steps[-1].failure
        assert steps[-1].failure.retry_at == pytest.approx(steps[-1].started // 60 * 60 + 60, abs=1.0)


def asked(record: RequestRecord, minute: int) -> list[Attempt]:
    steps = [step for step in record.steps if isinstance(step, Attempt)]
    return [step for step in steps if step.started // 60 % 60 == minute]


def test_a_brown_out_is_slow(tmp_path: Path) -> None:
    upstream = {"first_output": "1s", "tokens_per_second": 50, "outages": [{"at": "5m", "lasts": "20m", "slow": 3}]}
    trace = {
        "duration": "10m",
        "arrivals": {"every": "1m", "process": "regular"},
        "requests": [{"output": 100}],
        "upstreams": {"a": upstream},
    }
    records = play(tmp_path, trace, config=ONE).records.all
    times = [round(one.ended - one.facts.at, 3) for one in records]
    assert times == [3.0] * 4 + [9.0] * 5
    assert {round(one.first_output - one.facts.at, 3) for one in records if one.first_output} == {1.0, 3.0}


def test_a_model_that_the_trace_names_is_an_upstream_of_its_own(tmp_path: Path) -> None:
    config = {
        "providers": {"a": {"plugin": "echo", "models": {"m": {}, "n": {}}}},
        "groups": {"chat": [["a/m"], ["a/n"]]},
        "routing": {"default": "chat"},
    }
    trace = {"upstreams": {"a/m": {"failures": [{"share": 1.0, "how": 500}]}, "a": {}}}
    served = play(tmp_path, trace, config=config).report.figures["endpoints"]
    assert served["a/n"]["share"] == 1.0
    assert served["a/m"]["failures"]["server_error"] == served["a/m"]["calls"]


@pytest.mark.parametrize("dialect", ["openai.chat", "openai.responses", "anthropic.messages", "gemini.generate"])
@pytest.mark.parametrize("plugin", ["openai", "anthropic", "gemini", "ollama"])
def test_upstreams_speak_their_own_dialect(dialect: str, plugin: str, tmp_path: Path) -> None:
    key = {} if plugin == "ollama" else {"api_key": "k"}
    config = {
        "providers": {"a": {"plugin": plugin, "models": {"m": {}}, **key}},
        "routing": {"default": "a/m"},
    }
    kinds = [{"dialect": dialect, "stream": stream, "temperature": 0} for stream in (True, False)]
    played = play(tmp_path, {"duration": "3m", "requests": kinds}, config=config)
    assert played.outcomes == {"answered": len(played.records.all)}
