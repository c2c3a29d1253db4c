"""A run against configurations of every kind: what it redirects, leaves out, and will not let pass."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from llmrouter.chaos import Card, Scenario, Stage, catalogue, chosen
from llmrouter.chaos.demo import demo
from llmrouter.errors import LLMRouterError
from llmrouter.settings import EngineSettings, StreamSettings
from tests.chaos.setups import loaded, play, tiers

DIALECTS: Mapping[str, Mapping[str, Any]] = {
    "google": {"plugin": "gemini", "accounts": [{"id": "one", "api_key": "k1"}, {"id": "two", "api_key": "k2"}]},
    "claude": {"plugin": "anthropic", "api_key": "k"},
    "home": {"plugin": "ollama", "base_url": "http://127.0.0.1:11434"},
    "groq": {"plugin": "openai", "profile": "groq", "api_key": "k"},
    "router": {"plugin": "openrouter", "api_key": "k"},
    "cloud": {"plugin": "vertex", "project": "p", "api_key": "k"},
    "paper": {"plugin": "echo"},
    "vectors": {"plugin": "voyage", "api_key": "k"},
}
SOME = ("hang", "cut_late", "eof_early", "status_401", "daily_quota", "one_bad_key", "plugin_raises", "refused")


def config(members: Sequence[Any], **more: Any) -> str:
    names = {one.partition("/")[0] for tier in members for one in ([tier] if isinstance(tier, str) else tier)}
    providers = {name: entry for name, entry in DIALECTS.items() if name in names}
    return json.dumps({"providers": providers, "groups": {"g": members}, **more})


def verdicts(card: Card) -> dict[tuple[str, str], str]:
    return {(one.fault, one.shape): one.verdict for one in card.results}


def test_the_demonstration_absorbs_what_strikes_before_output(tmp_path: Path) -> None:
    said: list[str] = []
    card = play(loaded(tmp_path, demo()), SOME, said.append, seed=3)
    assert verdicts(card).pop(("cut_late", "stream")) == "safe failure"
    assert {one.verdict for one in card.results if (one.fault, one.shape) != ("cut_late", "stream")} == {"pass"}
    assert (card.profiles, card.stand_ins, card.failed) == ({"demo": "default"}, [], False)
    assert len(said) == len(card.results) + 1
    assert any(line.startswith("pass") and "hang, demo, plain" in line for line in said)


@pytest.mark.parametrize("first", ["google/x", "claude/x", "home/x", "groq/x", "router/a/b", "cloud/x"])
def test_every_dialect_can_have_the_fault(first: str, tmp_path: Path) -> None:
    other = "claude/y" if first != "claude/x" else "groq/y"
    card = play(loaded(tmp_path, config([first, other])), ["eof_early", "cut_late", "daily_quota"])
    assert [one for one in card.results if one.verdict not in ("pass", "safe failure")] == []
    assert [(one.fault, one.shape) for one in card.results if one.verdict == "safe failure"] == [
        ("cut_late", "stream")
    ]
    assert card.stand_ins == []


def test_what_cannot_be_pointed_elsewhere_is_played_by_another(tmp_path: Path) -> None:
    """An upstream in process has no address; it may have the fault all the same."""
    card = play(loaded(tmp_path, config(["paper/echo-small", "groq/x"])), ["status_503", "total_outage"])
    assert card.stand_ins == ["paper"]
    assert set(verdicts(card).values()) == {"pass", "safe failure"}
    assert card.results[0].attempts == ("paper/echo-small server_error", "groq/x served")


def test_members_that_serve_no_chat_are_left_out(tmp_path: Path) -> None:
    card = play(loaded(tmp_path, config(["vectors/v", "groq/x", "claude/y"])), ["status_503"])
    assert card.absent == ["vectors/v"]
    assert set(verdicts(card).values()) == {"pass"}
    with pytest.raises(LLMRouterError, match="no group"):
        play(loaded(tmp_path, config(["vectors/v"])), ["status_503"])


def test_models_of_one_provider_fail_one_by_one(tmp_path: Path) -> None:
    card = play(loaded(tmp_path, config(["groq/x", "groq/y"])), ["status_503", "refused"])
    assert verdicts(card)["status_503", "stream"] == "pass"
    assert card.results[0].attempts == ("groq/x server_error", "groq/y served")
    assert verdicts(card)["refused", "stream"] == "safe failure"  # their provider is gone


def test_a_group_of_one_is_told_that_nobody_can_take_over(tmp_path: Path) -> None:
    card = play(loaded(tmp_path, config(["groq/x"])), ["status_401", "cut_late", "crumbs"])
    assert {one.excuse for one in card.results if one.verdict == "safe failure"} == {
        "the group has one member: nobody can take over"
    }
    assert verdicts(card)["crumbs", "plain"] == "pass"
    assert not card.failed


def test_groups_are_chosen_by_name_and_made_where_there_is_none(tmp_path: Path) -> None:
    two = json.loads(tiers())
    two["groups"]["other"] = ["a/m", "b/m"]
    setup = loaded(tmp_path, json.dumps(two))
    assert {one.group for one in play(setup, ["status_500"]).results} == {"all", "other"}
    assert {one.group for one in play(setup, ["status_500"], groups=["other"]).results} == {"other"}
    with pytest.raises(LLMRouterError, match="no group 'otter'"):
        play(setup, ["status_500"], groups=["otter"])
    del two["groups"]
    made = play(loaded(tmp_path, json.dumps(two)), ["status_500"])
    assert verdicts(made) == {("status_500", "plain"): "pass", ("status_500", "stream"): "pass"}
    assert {one.group for one in made.results} == {"auto"}


# --- what does not pass


def test_a_fault_that_nobody_met_is_no_success(tmp_path: Path) -> None:
    def elsewhere(stage: Stage) -> None:
        stage.model = "another"

    scenario = Scenario(name="elsewhere", about="is not there", arrange=elsewhere)
    card = play(loaded(tmp_path, config(["groq/x", "claude/y"])), [scenario])
    assert {one.verdict for one in card.results} == {"fail"}
    assert all("not tried" in one.why for one in card.results)


def test_what_was_arranged_must_have_happened(tmp_path: Path) -> None:
    def arrange(stage: Stage) -> None:
        stage.proof = lambda router: False

    card = play(loaded(tmp_path, tiers()), [Scenario(name="x", about="x", arrange=arrange)])
    assert card.failed


def test_what_did_not_happen_at_once_is_played_again(tmp_path: Path) -> None:
    """On a busy machine a hedge may win before the fault has arrived: that says nothing of the fault."""
    looks = itertools.count(1)

    def arrange(stage: Stage) -> None:
        stage.proof = lambda router: next(looks) >= 3

    scenario = Scenario(name="x", about="x", arrange=arrange, shapes=("plain",))
    assert not play(loaded(tmp_path, tiers()), [scenario]).failed
    assert next(looks) == 4


def test_a_wrong_answer_is_found(tmp_path: Path) -> None:
    """An upstream that says something else, with every sign of health."""

    def another(speaker: Any) -> Any:
        return evolve(speaker, text="I am somebody else.").answer()

    card = play(loaded(tmp_path, tiers()), [Scenario(name="another", about="lies", play=another)])
    assert {one.verdict for one in card.results} == {"fail"}
    assert card.results[0].why.startswith("the wrong text")


def test_repeats_are_put_together_by_their_worst(tmp_path: Path) -> None:
    count = iter(range(99))

    def sometimes(speaker: Any) -> Any:
        return evolve(speaker, text="no").answer() if next(count) == 1 else speaker.answer()

    scenario = Scenario(name="sometimes", about="lies now and then", play=sometimes, shapes=("plain",))
    card = play(loaded(tmp_path, tiers()), [scenario], repeat=3)
    assert sorted(one.verdict for one in card.results) == ["fail", "pass", "pass"]
    assert [one.verdict for one in card.worst()] == ["fail"]
    assert card.counts() == {"pass": 0, "partial": 0, "safe failure": 0, "fail": 1}
    assert card.as_json()["failed"] is True


def test_answers_of_a_crowd_are_not_mixed_up(tmp_path: Path) -> None:
    """Every copy has an answer of its own."""
    card = play(loaded(tmp_path, tiers()), [Scenario(name="well", about="x"), "status_503", "refused"], copies=20)
    assert {one.verdict for one in card.results} == {"pass"}


# --- scenarios


def test_a_fault_is_excused_only_where_nothing_can_be_done() -> None:
    known, patient = catalogue(), EngineSettings()
    buffered = evolve(patient, stream=StreamSettings(on_break="buffer"))
    rescued = evolve(patient, stream=StreamSettings(on_break="verify"))
    held = evolve(rescued, stream=StreamSettings(on_break="verify", hold_tool_calls=True))

    def excused(name: str, engine: EngineSettings, members: int = 2) -> tuple[bool, bool]:
        return tuple(bool(known[name].excused(shape, members, engine)) for shape in ("plain", "stream"))  # type: ignore[return-value]

    assert excused("hang", patient) == (False, False)
    assert excused("hang", patient, 1) == (True, True)
    assert excused("hang", evolve(patient, fallback=False)) == (True, True)
    assert excused("total_outage", buffered) == (True, True)
    assert excused("status_400", buffered) == (True, True)
    assert [excused("cut_late", one) for one in (patient, rescued, buffered)] == [
        (False, True), (False, False), (False, False),
    ]  # fmt: skip
    assert [excused("cut_in_call", one) for one in (patient, rescued, held, buffered)] == [
        (False, True), (False, True), (False, False), (False, False),
    ]  # fmt: skip


def test_names_are_unique_and_explained() -> None:
    scenarios = chosen(())
    assert len({one.name for one in scenarios}) == len(scenarios) >= 30
    assert all(one.about and one.shapes for one in scenarios)
    assert [one.name for one in chosen(["hang", "hang", "refused"])] == ["hang", "refused"]
    with pytest.raises(LLMRouterError, match="Did you mean 'hang'"):
        chosen(["hagn"])


def test_the_clock_of_the_process_is_right_afterwards(tmp_path: Path) -> None:
    real = time.time
    card = play(loaded(tmp_path, tiers()), ["clock_jumps", "clock_jumps_back"])
    assert time.time is real
    assert {one.verdict for one in card.results} == {"pass"}
    assert all(one.seconds < 3 for one in card.results)


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    before = {*threading.enumerate()}
    play(loaded(tmp_path, tiers()), ["refused", "status_500", "bad_certificate", "quota_store_down"])
    left = [one.name for one in {*threading.enumerate()} - before if not one.daemon]
    assert left == []
