"""The core without plugins, and with one."""

from __future__ import annotations

import pytest

from tests.install.building import Built, Environment
from tests.install.sources import GOOD

pytestmark = pytest.mark.install


def test_the_core_alone_says_what_to_install(bare: Environment) -> None:
    said = bare.llmrouter("serve", "--port", "0")
    assert said.code == 3
    assert "no provider plugin is installed" in said.errors
    assert "pip install llmrouter-provider-openai" in said.errors
    assert "Traceback" not in said.errors


def test_a_plugin_that_a_configuration_names_is_told_with_its_package(bare: Environment) -> None:
    config = bare.config("providers: {acme: {plugin: acme}}\ncache: {plugin: shelf}\n")
    said = bare.llmrouter("serve", "--port", "0", "--config", config)
    assert said.code == 3
    assert "pip install llmrouter-provider-acme" in said.errors
    assert "pip install llmrouter-cache-shelf" in said.errors
    assert "some.yaml:1:" in said.errors
    checked = bare.llmrouter("config", "check", "--config", config)
    assert checked.code == 0, "this machine need not have what another one runs"
    assert checked.output.count("warning: ") == 2


def test_the_core_alone_looks_and_helps(bare: Environment) -> None:
    assert bare.llmrouter("--help").code == 0
    assert bare.llmrouter("version").output.strip().startswith("llmrouter 0.")
    assert bare.llmrouter("plugins", "list", "--json").output.split() == ["{", '"plugins":', "[]", "}"]
    assert bare.llmrouter("config", "schema").code == 0


def test_the_core_and_one_provider_serve(alone: Environment, released: Built) -> None:
    alone.add(released.wheel("llmrouter-provider-echo"))
    with alone.serving() as router:
        assert router.chat("premium/echo-large").status == 200
        assert router.get("/v1/models").json["data"]


def test_a_provider_that_somebody_else_wrote_serves(alone: Environment, foreign: Built) -> None:
    alone.add(foreign.wheel(GOOD.distribution))
    config = alone.config("providers: {bird: {plugin: parrot}}\nrouting: {default: bird/grey}\n")
    with alone.serving("--config", config) as router:
        answer = router.chat("auto")
        assert answer.text == "Say it."
        assert answer.headers["x-llmrouter-provider"] == "bird"
        streamed = router.chat("bird/grey", stream=True)
        assert streamed.text == "Say it."
        assert streamed.data[-1] == "[DONE]"
