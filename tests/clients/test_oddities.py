"""What only one client does, and what it takes from a router."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from attrs import evolve

from llmrouter.testing.speaker import Tool
from llmrouter.testing.upstream_faults import named
from llmrouter.testing.upstream_scripts import in_turn

from .model import WORDS, model, speaking
from .recipes import RECIPES, Recipe
from .running import run
from .upstreams import in_front_of
from .wires import Asked

PATCH = "*** Begin Patch\n*** Add File: made.txt\n+made by a patch\n*** End Patch\n"

pytestmark = pytest.mark.clients


def recipe(name: str) -> Recipe:
    return next(one for one in RECIPES if one.name == name)


def patching(asked: Asked) -> tuple[str, Sequence[Tool]]:
    if asked.outputs:
        return f"It said: {asked.outputs[-1]}", ()
    assert "input" in asked.tools["apply_patch"]["properties"]
    return "", [("call_patch_1", "apply_patch", json.dumps({"input": PATCH}))]


@pytest.mark.parametrize("wire", ["chat", "messages", "gemini"])
def test_codex_applies_a_patch_that_a_model_without_free_form_tools_wrote(wire: str, tmp_path: Path) -> None:
    """A name that Codex knows has it offer `apply_patch`, a tool that takes a text instead of JSON."""
    known = "gpt-5.5"
    codex = evolve(recipe("codex"), ways={"responses": {'model = "auto"': f'model = "{known}"'}})
    with in_front_of(wire, known) as (router, upstream):
        upstream.script = speaking(patching)
        ran = run(codex, "responses", router.base_url, tmp_path, {})
    assert ran.code == 0, str(ran)
    assert (tmp_path / "project" / "made.txt").read_text() == "made by a patch\n"
    assert "It said: " in ran.output


def test_claude_code_repeats_a_stream_that_broke_as_one_plain_request(tmp_path: Path) -> None:
    with in_front_of("chat") as (router, upstream):
        upstream.script = in_turn(named("cut_late").script, model(wants_proof=False))
        ran = run(recipe("claude-code"), "messages", router.base_url, tmp_path, {})
        records = router.get("/admin/requests?limit=2").json["requests"]
    assert ran.code == 0, str(ran)
    assert WORDS in ran.output
    assert [(one["outcome"], one["facts"]["wire"]["stream"]) for one in records] == [
        ("complete", False),
        ("broken", True),
    ]
