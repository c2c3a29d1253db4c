"""What is baked of the template, installed as anybody would: beside a core that is no checkout."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from llmrouter.testing.upstream import Upstream
from llmrouter.testing.upstream_openai import TEXT, chat
from llmrouter.testing.upstream_scripts import DONE, JSON, answer, chosen, event, stream
from tests.install.building import Built, Environment, build
from tests.template.baking import baked

pytestmark = pytest.mark.install

TOLD = {"id": "1", "model": "talk-large", "text": "Good day", "stop": "end", "usage": {"input": 9, "output": 16}}
CONFIG = """
providers:
  acme: {plugin: acme, base_url: "%s", api_key: a-key-of-acme}
  talk: {plugin: talk, base_url: "%s", api_key: a-key-of-talk}
catalogue: {refresh: null}
"""


@pytest.fixture
def own(tmp_path: Path) -> Built:
    """Wheels of two packages, one of each kind."""
    source, folder = tmp_path / "source", tmp_path / "wheels"
    for kind, name in (("profile", "acme"), ("dialect", "talk")):
        baked(source / kind, kind=kind, name=name)
    (source / "pyproject.toml").write_text('[tool.uv.workspace]\nmembers = ["*/llmrouter-*"]\n')
    build(source, folder, "--wheel")
    return Built(folder)


def test_both_kinds_are_found_and_serve(alone: Environment, released: Built, own: Built) -> None:
    alone.add(released.wheel("llmrouter-provider-openai"), *own.wheels())
    said = alone.llmrouter("plugins", "list", "--json")
    assert said.code == 0, said.errors
    listed = json.loads(said.output)["plugins"]
    assert {row["name"] for row in listed} == {"provider-acme", "provider-openai", "provider-talk"}
    doctor = alone.llmrouter("plugins", "doctor", "--json")
    assert doctor.code == 0, doctor.output
    told = stream([event({"text": "Good"}), event({"text": " day"}), event({"stop": "end"}), DONE])
    talk = chosen(lambda request: told if request.stream else answer(200, JSON, TOLD))
    with Upstream(chat()) as acme, Upstream(talk) as other:
        config = alone.config(CONFIG % (acme.base_url, other.base_url))
        with alone.serving("--config", config) as router:
            assert router.chat("acme/acme-large").text == TEXT
            assert router.chat("talk/talk-large").text == "Good day"
            assert router.chat("talk/talk-large", stream=True).text == "Good day"
    assert [request.path for request in other.requests] == ["/generate", "/generate"]
    assert other.requests[0].headers["x-api-key"] == "a-key-of-talk"
    assert acme.requests[0].headers["authorization"] == "Bearer a-key-of-acme"
