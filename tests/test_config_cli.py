from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from llmrouter import builtin
from llmrouter.cli import config as config_command
from llmrouter.cli import plugins as plugins_command
from llmrouter.config import effective, load, look
from llmrouter.config.redact import HIDDEN
from llmrouter.errors import ConfigError
from llmrouter.plugins import Plugins
from llmrouter.settings import HedgeSettings, QueueSettings
from tests.configs import AcmePlugin, Others, some_plugins, write

EXAMPLE = Path(__file__).parents[1] / "docs" / "reference" / "llmrouter.example.yaml"


class Entry:
    """An entry point that leads to an object, or to an error."""

    value, dist = "somewhere", None

    def __init__(self, name: str, plugin: object) -> None:
        self.name = name
        self.plugin = plugin

    def load(self) -> object:
        if isinstance(self.plugin, Exception):
            raise self.plugin
        return self.plugin


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory and home, and no variables of ours."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("LLMROUTER_CONFIG", "XDG_CONFIG_HOME", "LLMROUTER_PLUGINS", "LLMROUTER_DISABLE_PLUGINS"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> list[Entry]:
    """What is installed, as far as the commands can see."""
    entries = [Entry("provider-acme", AcmePlugin()), Entry("policy-cheapest", Others())]
    monkeypatch.setattr("llmrouter.plugins.entry_points", lambda group: entries)
    monkeypatch.setattr("llmrouter.cli.config._builtins", lambda: [])
    return entries


def run(command: Any, *args: str) -> Result:
    return CliRunner().invoke(command, args, catch_exceptions=False)


def config(*args: str) -> Result:
    return run(config_command.command, *args)


def plugins(*args: str) -> Result:
    return run(plugins_command.command, *args)


def test_check_is_content_with_a_sound_configuration(alone: Path, installed: list[Entry]) -> None:
    write(alone, "providers: {acme: {plugin: acme}}")
    result = config("check")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "llmrouter.yaml is valid (errors: 0, warnings: 0)\n"


def test_check_prints_every_problem_and_exits_with_3(alone: Path, installed: list[Entry]) -> None:
    path = write(alone, "providers: {acme: {plugin: acme, regoin: x, api_key: '${NOT_THERE}'}}\n", "x.yaml")
    result = config("check", "--config", str(path))
    assert result.exit_code == 3
    assert result.stdout.splitlines() == [
        f'error: {path}:1:34 providers.acme.regoin: unknown key. Did you mean "region"?',
        f"warning: {path}:1:54 providers.acme.api_key: the variable NOT_THERE is not set",
    ]
    assert "is not valid (errors: 1, warnings: 1)" in result.stderr


def test_warnings_are_errors_when_check_is_strict(alone: Path, installed: list[Entry]) -> None:
    write(alone, "providers: {acme: {plugin: acme, api_key: '${NOT_THERE}'}}\n")
    assert config("check").exit_code == 0
    assert config("check", "--strict").exit_code == 3


def test_check_as_json_has_every_problem_with_its_place(alone: Path, installed: list[Entry]) -> None:
    write(alone, "providers: {acme: {plugin: acme}}\nserver: {port: x}\n")
    result = config("check", "--json")
    assert result.exit_code == 3
    found = json.loads(result.stdout)
    assert found["valid"] is False
    assert found["problems"] == [
        {
            "message": 'must be a whole number, not "x".',
            "path": "server.port",
            "file": "llmrouter.yaml",
            "line": 2,
            "column": 16,
            "warning": False,
        }
    ]
    write(alone, "providers: {acme: {plugin: acme}}\n")
    found = json.loads(config("check", "--json").stdout)
    assert found == {"source": "llmrouter.yaml", "valid": True, "problems": []}


def test_check_without_anything_says_what_to_install(installed: list[Entry]) -> None:
    installed.clear()
    result = config("check")
    assert result.exit_code == 3
    assert "pip install llmrouter-provider-openai" in result.stdout


def test_a_plugin_that_breaks_while_looking_for_a_configuration_is_told(installed: list[Entry]) -> None:
    installed.append(Entry("provider-broken", ImportError("vendor")))
    result = config("check")
    assert result.exit_code == 3
    assert "plugin provider-broken" in result.stdout


def test_the_example_passes_check_with_what_is_installed() -> None:
    result = config("check", "--config", str(EXAMPLE))
    assert result.exit_code == 0, result.stdout
    assert "error:" not in result.stdout
    assert "GOOGLE_API_KEY_1 is not set" in result.stdout


def test_show_prints_yaml_or_json_with_defaults_and_without_secrets(alone: Path, installed: list[Entry]) -> None:
    write(alone, "providers: {acme: {plugin: acme, api_key: abcdefgh}}\n")
    result = config("show")
    assert result.exit_code == 0
    assert result.stderr == "from llmrouter.yaml\n"
    assert "api_key: …\n" in result.stdout
    assert "region: here\n" in result.stdout
    assert "deadline: 600s\n" in result.stdout
    document = json.loads(config("show", "--json").stdout)
    assert document["providers"]["acme"]["api_key"] == "…"
    assert document["server"]["port"] == 4000


def test_show_of_a_wrong_configuration_says_what_is_wrong(alone: Path, installed: list[Entry]) -> None:
    write(alone, "providers: {acme: {plugin: acme, regoin: x}}\n")
    with pytest.raises(ConfigError, match="unknown key"):
        config("show")


def test_schema_has_the_keys_of_every_plugin_and_names_those_it_leaves_out(
    monkeypatch: pytest.MonkeyPatch, installed: list[Entry]
) -> None:
    installed.append(Entry("provider-broken", ImportError("vendor")))
    monkeypatch.setattr("llmrouter.cli.config._builtins", lambda: [(builtin, builtin.NAME)])
    installed.pop(1)
    result = config("schema")
    assert result.exit_code == 0
    definitions = json.loads(result.stdout)["$defs"]
    assert "region" in definitions["provider-acme"]["properties"]
    assert "quota-memory" in definitions
    assert "left out: plugin provider-broken" in result.stderr


def test_the_core_brings_its_own_plugins() -> None:
    loaded = Plugins()
    for module, name in config_command._builtins():
        loaded.register(module, name)
    assert loaded.names("quota") == ["memory"]


def test_list_says_what_is_installed_without_importing_it(installed: list[Entry]) -> None:
    installed.append(Entry("pages", ImportError("vendor")))
    result = plugins("list", "--json")
    assert result.exit_code == 0
    rows = json.loads(result.stdout)["plugins"]
    assert [(row["name"], row["kind"], row["state"]) for row in rows] == [
        ("pages", "", "always"),
        ("policy-cheapest", "policy", "on demand"),
        ("provider-acme", "provider", "on demand"),
    ]
    table = plugins("list").stdout.splitlines()
    assert table[0].split() == ["name", "kind", "version", "distribution", "state", "problem"]
    assert table[3].split() == ["provider-acme", "provider", "(none)", "on", "demand"]


def test_list_heeds_what_the_configuration_disables(alone: Path, installed: list[Entry]) -> None:
    path = write(alone, "plugins: {disable: [provider-acme]}\n", "x.yaml")
    rows = json.loads(plugins("list", "--json", "--config", str(path)).stdout)["plugins"]
    assert [row["state"] for row in rows] == ["on demand", "off"]


def test_list_works_beside_a_configuration_that_cannot_be_read(alone: Path, installed: list[Entry]) -> None:
    write(alone, "a: [")
    result = plugins("list")
    assert result.exit_code == 0
    assert result.stderr.startswith("warning: llmrouter.yaml:")
    assert "provider-acme" in result.stdout


def test_doctor_exits_with_1_when_a_plugin_is_broken(installed: list[Entry]) -> None:
    assert plugins("doctor").exit_code == 0
    installed.append(Entry("provider-broken", ImportError("vendor")))
    result = plugins("doctor", "--json")
    assert result.exit_code == 1
    broken = [row for row in json.loads(result.stdout)["plugins"] if row["state"] == "broken"]
    assert [row["name"] for row in broken] == ["provider-broken"]
    assert "cannot be imported" in broken[0]["problem"]


def test_a_profile_is_shown_for_what_it_means(tmp_path: Path) -> None:
    group = "{members: [a/x], engine: {profile: batch, deadline: 5s}}"
    engine_said = "engine: {profile: resilient, hedge: {budget: 0.5}}"
    text = f"providers: {{a: {{plugin: acme, models: {{x: }}}}}}\n{engine_said}\ngroups: {{g: {group}}}\n"
    reading = look(write(tmp_path, text), {}, plugins=some_plugins())
    engine, own = effective(reading)["engine"], effective(reading)["groups"]["g"]["engine"]
    assert engine["hedge"] == {"at": "soft_ttft", "budget": 0.5, "burst": 3}
    assert engine["stream"]["on_break"] == "verify"
    assert engine["timeouts"]["idle"] == "15s"
    assert engine["timeouts"]["connect"] == "5s"
    assert own["queue"] == {"depth": 1024, "max_wait": "10m"}
    assert own["deadline"] == "5s"
    assert own["hedge"] == {"budget": 0.5, "at": "off", "burst": 3}
    settings = load(tmp_path / "llmrouter.yaml", {}, plugins=some_plugins()).settings
    assert settings.engine.hedge == HedgeSettings(at="soft_ttft", budget=0.5)
    assert settings.groups["g"].engine is not None
    assert settings.groups["g"].engine.queue == QueueSettings(depth=1024, max_wait=600.0)


def test_what_is_written_can_be_shown_alone(tmp_path: Path) -> None:
    text = 'providers: {a: {plugin: acme, api_key: "${KEY}"}}\nengine: {profile: batch}\n'
    reading = look(write(tmp_path, text), {"KEY": "sk-secret"}, plugins=some_plugins())
    assert effective(reading, whole=False) == {
        "providers": {"a": {"plugin": "acme", "api_key": HIDDEN}},
        "engine": {"profile": "batch"},
    }
    path = str(write(tmp_path, "providers: {a: {plugin: nobody}}\nengine: {deadline: 5s}\n"))
    shown = CliRunner().invoke(config_command.command, ["show", "--written", "--config", path, "--json"])
    assert json.loads(shown.stdout)["engine"] == {"deadline": "5s"}
    whole = CliRunner().invoke(config_command.command, ["show", "--effective", "--config", path, "--json"])
    assert json.loads(whole.stdout)["engine"]["deadline"] == "5s"
    assert json.loads(whole.stdout)["engine"]["attempts"] == 6
