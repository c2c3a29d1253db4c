from __future__ import annotations

from pathlib import Path

import pytest

from llmrouter.config import find, load
from llmrouter.errors import ConfigError
from llmrouter.plugins import Plugins
from llmrouter.settings import Secret
from tests.configs import MINIMAL, AcmePlugin, some_plugins, write


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory below an empty home."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path


def test_the_file_is_looked_for_in_order(home: Path) -> None:
    environ = {"HOME": str(home)}
    assert find(None, environ) is None
    (home / ".config" / "llmrouter").mkdir(parents=True)
    at_home = write(home / ".config" / "llmrouter", MINIMAL, "config.yaml")
    assert find(None, environ) == at_home
    write(home / "work", MINIMAL)
    assert find(None, environ) == Path("llmrouter.yaml")
    named = write(home, MINIMAL, "named.yaml")
    assert find(None, {**environ, "LLMROUTER_CONFIG": str(named)}) == named
    asked = write(home, MINIMAL, "asked.yaml")
    assert find(asked, {**environ, "LLMROUTER_CONFIG": str(named)}) == asked


def test_the_users_folder_of_configurations_may_be_elsewhere(home: Path) -> None:
    (home / "elsewhere" / "llmrouter").mkdir(parents=True)
    path = write(home / "elsewhere" / "llmrouter", MINIMAL, "config.yaml")
    assert find(None, {"HOME": str(home), "XDG_CONFIG_HOME": str(home / "elsewhere")}) == path


@pytest.mark.parametrize("through", ["argument", "variable"])
def test_a_file_that_was_asked_for_has_to_be_there(home: Path, through: str) -> None:
    path = home / "nowhere.yaml"
    with pytest.raises(ConfigError, match=r"nowhere.yaml there is no such file"):
        find(path, {}) if through == "argument" else find(None, {"LLMROUTER_CONFIG": str(path)})


def test_without_a_file_the_keys_in_the_environment_make_a_configuration(home: Path) -> None:
    plugins = Plugins()
    acme = AcmePlugin(
        suggest=lambda environ: (
            {"acme": {"plugin": "acme", "api_key": "${ACME_KEY}"}} if "ACME_KEY" in environ else {}
        ),
        demo={"providers": {"toy": {"plugin": "acme"}}},
    )
    plugins.register(acme, "provider-acme")
    found = load(None, {"HOME": str(home), "ACME_KEY": "from-the-environment"}, plugins=plugins).settings
    assert found.source == "environment"
    assert found.providers["acme"].accounts[0].api_key == Secret("from-the-environment")
    (home / "work" / ".env").write_text("ACME_KEY=from-the-file\n")
    found = load(None, {"HOME": str(home)}, plugins=plugins).settings
    assert found.providers["acme"].accounts[0].api_key == Secret("from-the-file")


def test_without_a_key_the_demonstration_of_a_plugin_is_served(home: Path) -> None:
    plugins = Plugins()
    plugins.register(AcmePlugin("acme"), "provider-acme")
    plugins.register(AcmePlugin("toy", demo={"providers": {"toy": {"plugin": "toy"}}}), "provider-toy")
    found = load(None, {"HOME": str(home)}, plugins=plugins).settings
    assert found.source == "demo"
    assert list(found.providers) == ["toy"]


def test_what_a_plugin_proposes_is_checked_like_a_file(home: Path) -> None:
    plugins = Plugins()
    plugins.register(AcmePlugin(demo={"providers": {"acme": {"plugin": "acme", "regoin": 1}}}), "provider-acme")
    with pytest.raises(ConfigError, match=r"demo providers.acme.regoin: unknown key"):
        load(None, {"HOME": str(home)}, plugins=plugins)


def test_without_a_provider_plugin_it_says_what_to_install(home: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(None, {"HOME": str(home)}, plugins=Plugins())
    assert "pip install llmrouter-provider-openai" in str(caught.value)
    assert 'pip install "llmrouter[standard]"' in str(caught.value)


def test_with_nothing_to_go_by_it_says_where_it_looked(home: Path) -> None:
    with pytest.raises(ConfigError, match=r"there is no configuration \(llmrouter.yaml or .*config.yaml\)"):
        load(None, {"HOME": str(home)}, plugins=some_plugins())
