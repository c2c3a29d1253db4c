"""`llmrouter chaos`: its scorecard, its exit codes, and that it needs neither a configuration nor a key."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from llmrouter.chaos import Card
from llmrouter.chaos.card import Result as Played
from llmrouter.cli.chaos import command, lines
from llmrouter.errors import ConfigError, LLMRouterError
from tests.chaos.setups import tiers

QUICK = ("--fault", "status_503", "--fault", "cut_late", "--seed", "5")


def chaos(*words: str, environ: Mapping[str, str] | None = None) -> Result:
    return CliRunner().invoke(command, words, env=environ)


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No configuration is found but those that a test writes."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.delenv("LLMROUTER_CONFIG", raising=False)
    return tmp_path


def test_without_a_configuration_there_is_one_to_see_it_work() -> None:
    result = chaos(*QUICK)
    assert result.exit_code == 0, result.output
    assert "demo (profile default)" in result.stdout
    assert "●  status_503  plain   pass" in result.stdout
    assert "○  cut_late    stream  safe failure" in result.stdout
    assert "3 pass, 0 partial, 1 safe failure, 0 fail" in result.stdout
    assert "with seed 5" in result.stdout
    assert "time-outs were divided by" in result.stdout
    assert "status_503, demo, plain" in result.stderr


def test_the_profile_can_be_chosen_and_the_figures_read_by_a_program() -> None:
    result = chaos(*QUICK, "--profile", "agents", "--json", "--copies", "2", "--repeat", "2")
    card = json.loads(result.stdout)
    assert (card["profiles"], card["seed"], card["copies"], card["repeats"]) == ({"demo": "agents"}, 5, 2, 2)
    assert {one["fault"] for one in card["results"]} == {"status_503", "cut_late"}
    assert card["counts"]["fail"] == 0


def test_a_configuration_is_found_and_its_keys_need_not_be_there(nowhere: Path) -> None:
    text = tiers().replace('"k"', '"${NOT_THERE}"').replace('"all"', '"mine"')
    (nowhere / "llmrouter.yaml").write_text(text)
    result = chaos(*QUICK)
    assert result.exit_code == 0, result.output
    assert "mine (profile default)" in result.stdout


def test_faults_are_listed() -> None:
    result = chaos("--list")
    assert "hang " in result.stdout
    assert "never answers" in result.stdout
    listed = json.loads(chaos("--list", "--json", "--fault", "giant_event").stdout)
    assert listed == [{"name": "giant_event", "about": "sends one event of 100 MB", "shapes": ["stream"]}]


def test_names_that_nobody_has_are_refused() -> None:
    assert isinstance(chaos("--fault", "hagn").exception, LLMRouterError)
    assert isinstance(chaos("--config", "nothing.yaml").exception, ConfigError)
    assert chaos("--profile", "brave").exit_code == 2


def test_a_failure_is_the_exit_code_and_is_seen() -> None:
    played = Played(
        fault="x", about="", group="g", shape="plain", verdict="fail", why="hangs", attempts=("a/m stall",)
    )
    card = Card(
        source="demo",
        profiles={"g": "default"},
        seed=1,
        pace=1.0,
        copies=1,
        repeats=1,
        seconds=2.0,
        results=[played],
        stand_ins=["paper"],
        absent=["v/v"],
        skipped={"bad_certificate": "no openssl"},
    )
    assert card.failed
    shown = "\n".join(lines(card))
    assert "✗  x      plain  fail" in shown
    assert "hangs" in shown
    assert "time-outs" not in shown
    for word in ("provider paper: ", "v/v: left out", "fault bad_certificate: left out, no openssl"):
        assert word in shown


def test_it_exits_with_one_when_something_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A configuration that sends what nobody can read: every member is a stand-in that is not asked at all."""
    monkeypatch.setattr(Card, "failed", True)
    assert chaos("--fault", "status_503").exit_code == 1
