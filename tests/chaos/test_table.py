"""The table: which faults each profile absorbs, and which it answers with an error. Nothing else happens."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from llmrouter.chaos import Card, catalogue
from tests.chaos.setups import PEERS, loaded, play, tiers

Cell = tuple[str, str]

BOTH = ("plain", "stream")
ALWAYS = (
    *("status_400", "status_413", "content_filter"),  # the request is at fault
    *("total_outage", "everybody_hangs", "bad_keys_everywhere"),
)
CUT = ("stall_late", "reset_late", "cut_late", "eof_late", "malformed_late", "error_event_late")
"""Streams that break off after output."""
IN_CALL = ("cut_in_call",)
"""A call that is cut when half of it is written: nobody may go on with it."""
FLAWED = ("repetition_loop", "invalid_json", "malformed_arguments")
"""Streams whose output is what is wrong, which shows when it is written: the record tells, and health counts it."""


def safe(*streams: str) -> set[Cell]:
    return {(name, shape) for name in ALWAYS for shape in BOTH} | {(name, "stream") for name in streams}


SAFE: Mapping[str, set[Cell]] = {
    "default": safe(*CUT, *IN_CALL),
    "resilient": safe(),
    "agents": safe(),
    "batch": safe(*CUT, *IN_CALL),
}
"""What a client gets an honest error for, by profile. All else it gets whole."""
GIVEN: Mapping[str, set[Cell]] = {
    profile: {(name, "stream") for name in FLAWED if profile != "agents"} for profile in SAFE
}
"""What may be given as the upstream said it, where that came in too many pieces to be held back."""

PROFILES = [
    "default",
    "resilient",
    pytest.param("agents", marks=pytest.mark.soak),
    pytest.param("batch", marks=pytest.mark.soak),
]


@pytest.fixture(scope="module", params=PROFILES)
def profile(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def card(profile: str, tmp_path_factory: pytest.TempPathFactory) -> Card:
    return play(loaded(tmp_path_factory.mktemp("chaos"), tiers(), profile), seed=7)


def test_no_fault_is_answered_wrongly_or_late(card: Card, profile: str) -> None:
    assert [one for one in card.results if one.verdict == "fail"] == []
    assert not card.failed
    partial = [one for one in card.results if one.verdict == "partial"]
    assert {(one.fault, one.shape) for one in partial} <= GIVEN[profile]
    assert all(one.excuse and "told in the record" in one.why for one in partial)


def test_an_honest_error_comes_only_where_nothing_better_is_to_be_had(card: Card, profile: str) -> None:
    found = {(one.fault, one.shape) for one in card.results if one.verdict == "safe failure"}
    assert all(one.excuse for one in card.results if one.verdict == "safe failure")
    assert found <= SAFE[profile]
    assert found >= safe()
    assert ("stall_late", "stream") not in SAFE[profile] - found  # others may come in one piece, and be held back


def test_every_fault_is_played_in_every_shape_it_has(card: Card) -> None:
    played = {(one.fault, one.shape) for one in card.results}
    assert played == {
        (one.name, shape) for one in catalogue().values() for shape in one.shapes if one.name not in card.skipped
    }
    assert len({name for name, _ in played}) >= 30


def test_who_has_the_fault_is_asked_first(card: Card) -> None:
    """What a request that was served whole tells; flapping ends on its feet."""
    firsts = [one.attempts[0] for one in card.results if one.verdict == "pass" and one.attempts]
    assert all(first.startswith(f"{PEERS[0]}/m ") for first in firsts if not first.endswith("served"))
    failed = [one for one in card.results if one.verdict == "pass" and len(one.attempts) > 1]
    assert len(failed) > 100


@pytest.mark.soak
@pytest.mark.parametrize("profile", ["default", "resilient", "agents", "batch"])
@pytest.mark.parametrize(("repeat", "copies"), [(3, 1), (1, 20)], ids=["repeated", "copies"])
def test_the_table_holds_again_and_again_and_in_a_crowd(
    profile: str, repeat: int, copies: int, tmp_path: Path
) -> None:
    card = play(loaded(tmp_path, tiers(), profile), repeat=repeat, copies=copies, seed=repeat + copies)
    assert [one for one in card.results if one.verdict == "fail"] == []
    assert {(one.fault, one.shape) for one in card.results if one.verdict == "safe failure"} <= SAFE[profile]
