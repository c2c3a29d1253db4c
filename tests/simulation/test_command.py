"""`llmrouter simulate`: what is printed, and what the how-to says of it."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from llmrouter.cli import simulate
from llmrouter.errors import ConfigError
from llmrouter.simulation import Task, play_all, summary
from tests.pages.blocks import ROOT, blocks
from tests.simulation.plays import CONFIG, OUTAGES

PAGE = ROOT / "docs" / "how-to" / "simulate.md"


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No configuration, no key, and no place for state."""
    monkeypatch.chdir(tmp_path)
    for name in ("HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY", "LLMROUTER_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    yield
    assert not [*tmp_path.rglob("*.db")]


def call(*words: str) -> Result:
    result = CliRunner().invoke(simulate.command, words)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_without_a_word_the_demonstration_is_played() -> None:
    result = call("--days", "0.1")
    assert re.match(r"\d+ requests in 0\.1 days, [\d.]+ % answered", result.stdout)
    assert "free/echo-small" in result.stdout
    assert result.stderr == ""


def test_several_seeds_are_played_in_processes_and_the_worst_is_shown() -> None:
    words = ("--config", str(CONFIG), "--trace", str(OUTAGES), "--days", "0.05")
    found = json.loads(call(*words, "--seed", "4", "--seeds", "3", "--json").stdout)
    assert [run["seed"] for run in found["runs"]] == [4, 5, 6]
    assert found["worst"]["availability"] == min(run["availability"] for run in found["runs"])
    alone = json.loads(call(*words, "--seed", "5", "--json").stdout)
    assert alone["runs"] == [found["runs"][1]]
    assert call(*words, "--seeds", "2").stdout.startswith("2 seeds, ")


def test_a_mistake_comes_back_from_a_process_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text(OUTAGES.read_text("utf-8").replace("every", "evry"), "utf-8")
    with pytest.raises(ConfigError, match=r"bad\.yaml:4:3 arrivals\.evry: unknown key"):
        call("--config", str(CONFIG), "--trace", str(tmp_path / "bad.yaml"), "--seeds", "2")


def test_a_trace_in_which_nothing_comes_says_so() -> None:
    assert call("--days", "0.00001").stdout == f"{simulate.NO_REQUESTS}\n"


def test_everything_worth_a_remark_is_told() -> None:
    figures = json.loads(call("--days", "0.1", "--json").stdout)
    run = figures["runs"][0]
    run |= {"queued": {"requests": 3, "seconds": 7.5}, "unpriced_calls": 2, "hedges": 4}
    run["outcomes"]["broken"] = 5
    text = "\n".join(simulate.lines(figures))
    for said in (
        "3 requests waited for a limit, 7.5 s together",
        "2 calls have no known price",
        "4 hedges",
        "5 broken",
    ):
        assert said in text


def test_on_a_terminal_progress_is_shown_and_taken_away(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    simulate.lines(summary(play_all(Task(days=0.05), [1], simulate._progress())))
    assert "\r90 % played" in terminal.getvalue()
    assert terminal.getvalue().endswith("\r\x1b[K")


def test_the_example_of_the_how_to_runs(tmp_path: Path) -> None:
    files = {block.title: block.text for block in blocks(PAGE, "yaml")}
    assert {*files} == {"trace.yaml", "llmrouter.yaml"}
    for name, text in files.items():
        (tmp_path / name).write_text(text, "utf-8")
    commands = [line for block in blocks(PAGE, "sh") for line in block.text.splitlines()]
    assert len(commands) == 3
    for line in commands:
        _, name, *words = line.split()
        assert name == "simulate"
        small = [word.replace("20", "2") for word in words] + ["--days", "0.1"]
        assert "% answered" in call(*small).stdout
