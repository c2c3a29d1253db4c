"""The pages on providers and other systems say what is there, and leave nothing out."""

from __future__ import annotations

import json

import pytest

from llmrouter.dialects import builtin
from tests.freshness import own_plugins
from tests.pages import evidence, providers, systems
from tests.pages.blocks import ROOT
from tests.recordings.library import require

PAGES = ROOT / "docs" / "reference"


@pytest.mark.recordings
def test_what_is_said_to_be_recorded_is_what_the_manifest_has() -> None:
    require()
    assert evidence.recorded() == evidence.counted(), "run `python -m tests.pages.evidence`"


def test_what_is_recorded_is_kept_as_it_is_written() -> None:
    text = evidence.FILE.read_text("utf-8")
    assert text == json.dumps(evidence.recorded(), indent=1) + "\n"


def test_every_plugin_and_profile_has_a_row_that_tells_recorded_from_made_up() -> None:
    page = (PAGES / "providers.md").read_text("utf-8")
    rows = {
        tuple(cell.strip() for cell in line.split("|")[1:3]): line for line in page.splitlines() if line[:2] == "| "
    }
    found = list(providers.entries(own_plugins()))
    assert len(found) > 25
    for entry in found:
        row = rows[f"`{entry.type_.name}`", f"`{entry.profile}`" if entry.profile else providers.NONE]
        assert row.count("|") == len(providers.COLUMNS) + 1
        for dialect in entry.dialects:
            assert f"`{dialect}`" in row
            for endpoint in evidence.SURFACES.get(dialect, ()):
                assert endpoint in row or entry.type_.name == "echo", f"{entry.name}: {endpoint}"


@pytest.mark.parametrize(
    ("plugin", "profile", "auth", "lists"),
    [
        ("openai", "groq", "`authorization: Bearer …`", "`/openai/v1/models`"),
        ("anthropic", "anthropic", "`x-api-key: …`", "`/v1/models`"),
        ("gemini", "", "`x-goog-api-key: …`", "`/v1beta/models`"),
        ("voyage", "", "`authorization: Bearer …`", "–"),
        ("echo", "", "as its README says", "its own"),
    ],
)
def test_the_key_and_the_list_are_seen_in_requests(plugin: str, profile: str, auth: str, lists: str) -> None:
    entry = next(
        one for one in providers.entries(own_plugins()) if (one.type_.name, one.profile) == (plugin, profile)
    )
    seen = providers.look(entry)
    assert (seen.auth, seen.lists) == (auth, lists)


def test_systems_name_plugins_profiles_and_wire_formats_that_there_are() -> None:
    entries = {(one.type_.name, one.profile) for one in providers.entries(own_plugins())}
    plugins = {name for name, _ in entries}
    dialects = {dialect.name for dialect in builtin()}
    for one in systems.systems():
        assert {*one} <= {"name", "plugin", "profile", "speaks", "see", "says"}, one
        assert one.get("plugin", "openai") in plugins, one
        assert "profile" not in one or (one["plugin"], one["profile"]) in entries, one
        assert {*one.get("speaks", ())} <= dialects, one
        assert one.get("says") or "plugin" in one, one


def test_every_provider_is_a_system_that_users_can_look_up() -> None:
    named = {(one["plugin"], one.get("profile", "")) for one in systems.systems() if "plugin" in one}
    profiles = {name for pair in named for name in pair}
    for entry in providers.entries(own_plugins()):
        assert entry.name in profiles or entry.type_.name == "echo", entry.name


def test_every_page_on_a_client_is_linked() -> None:
    pages = {path.stem for path in ROOT.glob("docs/how-to/clients/*.md")}
    assert {one["see"] for one in systems.systems() if "see" in one} == pages


ASKED = (
    "Blocks", "Yupp", "Codex", "Claude Code", "Droid", "Kode", "opencode", "Gemini CLI", "Qwen Code", "Cline",
    "Continue", "aider", "llm", "CodeMachine", "Qoder", "Augment", "Zencoder", "Amp", "LiteLLM",
)  # fmt: skip


@pytest.mark.parametrize("name", ASKED)
def test_every_system_that_users_ask_about_is_answered(name: str) -> None:
    assert any(name in one["name"] for one in systems.systems())
    assert name in (PAGES / "systems.md").read_text("utf-8")
