"""Plugins that do not work: each is named and refused, and the others work without it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

import pytest

from tests.install.building import Environment
from tests.install.sources import BROKEN, GOOD, GREETING, RUDE, SHAKY, UNBUILDABLE

pytestmark = pytest.mark.install

WORDS: Mapping[str, tuple[str, ...]] = {
    "provider-twin": ("is there twice", "first-twin", "second-twin", "Uninstall one"),
    "provider-unimportable": ("nobodys 1.2.3", "cannot be imported", "a_library_that_nobody_has"),
    "provider-raising": ("failed in llmrouter_register_providers", "no such region"),
    "provider-slip": ("does not fit this llmrouter", "llmrouter_register_provider"),
    "provider-newer": ("newer 1.2.3", "llmrouter>=9", "pip install -U"),
    SHAKY.entry: ("shaky 1.2.3", "cannot be imported", "no vocabulary"),
}
"""By entry point: what its refusal has to say."""


def only(*names: str, **more: str) -> Mapping[str, str]:
    """The environment in which these plugins count, and no others."""
    return {"LLMROUTER_PLUGINS": " ".join(names), **more}


def test_the_doctor_names_every_broken_plugin_and_no_other(crowded: Environment) -> None:
    said = crowded.llmrouter("plugins", "doctor", "--json")
    assert said.code == 1
    rows = {row["name"]: row for row in json.loads(said.output)["plugins"]}
    assert {*rows} == {*WORDS, GOOD.entry, UNBUILDABLE.entry, GREETING.entry, RUDE.entry}
    assert {name for name, row in rows.items() if row["state"] == "broken"} == {*WORDS}
    for name, words in WORDS.items():
        assert all(word in rows[name]["problem"] for word in (name, *words)), rows[name]


def test_the_list_imports_nothing_and_shows_them_all(crowded: Environment) -> None:
    said = crowded.llmrouter("plugins", "list")
    assert said.code == 0
    assert all(name in said.output for name in WORDS)
    assert "a_library" not in said.output + said.errors


@pytest.mark.parametrize("name", [*BROKEN, SHAKY.entry])
def test_serve_names_a_broken_plugin_and_works_without_it(crowded: Environment, name: str) -> None:
    """Without a configuration every provider is looked at, and plugins with a plain name always are."""
    environ = only(GOOD.entry, name)
    refused = crowded.llmrouter("serve", "--port", "0", environ=environ)
    assert refused.code == 3, refused.errors
    assert all(word in refused.errors for word in (name, *WORDS[name])), refused.errors
    assert "Traceback" not in refused.errors
    with crowded.serving(environ={**environ, "LLMROUTER_DISABLE_PLUGINS": name}) as router:
        assert router.chat("bird/grey").text == "Say it."


@pytest.mark.parametrize("name", BROKEN)
def test_a_configuration_that_names_a_broken_plugin_is_refused_with_its_place(
    crowded: Environment, name: str
) -> None:
    config = crowded.config(f"providers:\n  bird: {{plugin: parrot}}\n  other: {{plugin: {name[9:]}}}\n")
    said = crowded.llmrouter("serve", "--port", "0", "--config", config, environ=only(GOOD.entry, name))
    assert said.code == 3
    assert "some.yaml:3:" in said.errors
    assert all(word in said.errors for word in WORDS[name]), said.errors


def test_what_a_configuration_does_not_name_does_no_harm(crowded: Environment) -> None:
    config = crowded.config("providers: {bird: {plugin: parrot}}\n")
    with crowded.serving("--config", config, environ={"LLMROUTER_DISABLE_PLUGINS": SHAKY.entry}) as router:
        assert router.chat("bird/grey").text == "Say it."


def test_the_configuration_disables_a_plugin_as_the_environment_does(crowded: Environment) -> None:
    config = crowded.config(f"providers: {{bird: {{plugin: parrot}}}}\nplugins: {{disable: [{SHAKY.entry}]}}\n")
    with crowded.serving("--config", config) as router:
        assert router.chat("bird/grey").status == 200


def test_a_plugin_that_cannot_be_built_is_named(crowded: Environment) -> None:
    config = crowded.config("providers: {one: {plugin: unbuilt}}\n")
    environ = only(GOOD.entry, UNBUILDABLE.entry)
    said = crowded.llmrouter("serve", "--port", "0", "--config", config, environ=environ)
    assert said.code == 3
    assert "one" in said.errors
    assert "'unbuilt' could not be built" in said.errors
    assert "the vendor's licence has ended" in said.errors
    assert "Traceback" not in said.errors


def test_commands_of_sound_plugins_are_there_beside_broken_ones(crowded: Environment) -> None:
    said = crowded.llmrouter("greet")
    assert (said.code, said.output) == (0, "hello\n"), said.errors
    assert all(name in said.errors for name in (*WORDS, RUDE.entry))
    unknown = crowded.llmrouter("greed")
    assert unknown.code == 2
    assert "Did you mean 'greet'?" in unknown.errors


def test_each_load_is_told_when_asked_for(crowded: Environment) -> None:
    environ = only(GOOD.entry, LLMROUTER_TRACE_PLUGINS="1")
    said = crowded.llmrouter("plugins", "doctor", environ=environ)
    assert re.search(r"loaded provider-parrot from llmrouter-provider-parrot in [0-9.]+ ms", said.errors)
