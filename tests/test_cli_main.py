"""The command line itself: its help, its exit codes, and commands that are small."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import click
import pytest

from llmrouter import __version__, cli, hookimpl
from llmrouter.cli import main
from llmrouter.errors import ConfigError, PluginError, Problem
from llmrouter.plugins import Plugins
from llmrouter.server.auth import key_hash
from llmrouter.state import state_dir

HEAVY = ("attrs", "msgspec", "yaml", "pluggy", "httpx", "httptools", "asyncio", "importlib.metadata")


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["llmrouter", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    assert isinstance(ended.value.code, int)
    return ended.value.code


def failing(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Make `version` end with an error."""

    @click.command("version")
    def command() -> None:
        raise error

    monkeypatch.setattr(cli, "import_module", lambda name: SimpleNamespace(command=command))


def helped(*words: str) -> str:
    """The help of a command in a process of its own, and in the last line what it took to import."""
    code = f"""
import sys
from llmrouter.cli import main
sys.argv = ["llmrouter", *{words!r}, "--help"]
try:
    main()
except SystemExit as ended:
    print(ended.code, [name for name in {HEAVY!r} if name in sys.modules])
"""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("words", [["models"], ["login"], ["catalogue", "refresh"], ["status"]])
def test_help_of_a_command_imports_nothing_heavy(words: list[str]) -> None:
    assert helped(*words).splitlines()[-1] == "0 []"


def test_help_shows_the_tasks_and_an_example_and_imports_nothing_heavy() -> None:
    shown = helped()
    assert shown.splitlines()[-1] == "0 []"
    names = [name for names in cli.COMMANDS.values() for name in names]
    for word in ("Start:", "Look:", "Set up:", "llmrouter serve --config", *names):
        assert word in shown
    assert len(shown.splitlines()) < 40


@pytest.mark.parametrize("name", [name for names in cli.COMMANDS.values() for name in names])
def test_every_command_has_help_of_its_own_with_json(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    pytest.importorskip(f"llmrouter.cli.{name}")
    assert run(monkeypatch, name, "--help") == 0
    shown = capsys.readouterr().out
    assert "--json" in shown or "Commands:" in shown


def test_version_is_said_twice_over(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    assert run(monkeypatch, "version") == 0
    assert run(monkeypatch, "version", "--json") == 0
    plain, as_json = capsys.readouterr().out.splitlines()
    assert (plain, json.loads(as_json)) == (f"llmrouter {__version__}", {"version": __version__})


def test_version_is_an_option_too(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    assert run(monkeypatch, "--version") == 0
    assert capsys.readouterr().out == f"llmrouter {__version__}\n"


def test_a_slip_is_answered_with_what_was_meant(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    assert run(monkeypatch, "stauts") == 2
    assert "Did you mean 'status'?" in capsys.readouterr().err
    assert run(monkeypatch, "somethingelse") == 2
    assert "Did you mean" not in capsys.readouterr().err
    assert run(monkeypatch, "--nonsense") == 2


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (
            ConfigError([Problem(message="unknown key", path="a.b", file="x.yaml", line=3)]),
            3,
            "x.yaml:3 a.b: unknown key\n",
        ),
        (PluginError("no provider plugin"), 3, "no provider plugin\n"),
        (KeyboardInterrupt(), 130, ""),
        (click.Abort(), 130, ""),
        (click.UsageError("not so"), 2, "not so"),
        (ZeroDivisionError("oh"), 70, "This is a bug of llmrouter"),
        (SystemExit(6), 6, ""),
    ],
)
def test_every_end_has_its_code(
    error: BaseException, code: int, says: str, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    failing(monkeypatch, error)
    assert run(monkeypatch, "version") == code
    said = capsys.readouterr().err
    assert says in said
    assert ("Traceback" in said) == (code == 70)


def test_a_reader_that_has_seen_enough_gets_no_traceback() -> None:
    code = "import sys; from llmrouter.cli import main; sys.argv = ['llmrouter', 'keys', 'create', 'x']; main()"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        said = process.stderr.read()
    assert process.returncode == 1
    assert b"Traceback" not in said
    assert b"BrokenPipe" not in said


def test_a_plugin_brings_a_command(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    @hookimpl
    def llmrouter_register_commands(commands: click.Group) -> None:
        @commands.command("greet")
        def greet() -> None:
            click.echo("hello")

    plugins = Plugins()
    module = ModuleType("greeter")
    module.llmrouter_register_commands = llmrouter_register_commands  # type: ignore[attr-defined]
    plugins.register(module, "greeter")
    monkeypatch.setattr(Plugins, "discover", lambda: plugins)
    monkeypatch.setattr(cli.commands, "commands", {})
    assert run(monkeypatch, "greet") == 0
    assert capsys.readouterr().out == "hello\n"


def test_a_broken_plugin_does_not_hide_a_slip(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    found = Plugins.discover(entries=[EntryPoint("broken", "no_such_module_at_all", "llmrouter")])
    monkeypatch.setattr(Plugins, "discover", lambda: found)
    assert run(monkeypatch, "lgo") == 2
    assert "Did you mean 'log'?" in capsys.readouterr().err


def test_a_key_is_shown_with_the_line_that_admits_it(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    assert run(monkeypatch, "keys", "create", "dev.1") == 0
    shown = capsys.readouterr()
    key, line = shown.out.splitlines()
    assert line == f'- {{name: "dev.1", hash: "{key_hash(key)}"}}'
    assert key not in shown.err
    assert run(monkeypatch, "keys", "create", "dev", "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert said == {"name": "dev", "hash": key_hash(said["key"]), "key": said["key"]}
    assert said["key"] != key


@pytest.mark.parametrize("name", ["", 'de"v', "-dev", "two words", "dev\n", "ü"])
def test_no_key_is_made_for_a_name_that_no_configuration_takes(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    assert run(monkeypatch, "keys", "create", "--", name) == 2
    shown = capsys.readouterr()
    assert (shown.out, repr(name) in shown.err) == ("", True)


@pytest.mark.parametrize("place", ["file", "file/below"])
def test_a_place_where_no_state_can_be_kept_is_named_in_one_line(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("LLMROUTER_STATE_DIR", str(tmp_path / place))
    assert run(monkeypatch, "status", "--url", "127.0.0.1:9") == 3
    said = capsys.readouterr().err
    assert (said.count("\n"), str(tmp_path / place) in said, "$LLMROUTER_STATE_DIR" in said) == (1, True, True)


def test_a_state_directory_that_may_not_be_written_or_is_nowhere_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match="home"):
        state_dir({"LLMROUTER_STATE_DIR": "~no-such-user-at-all/state"})
    monkeypatch.setattr("llmrouter.state.os.access", lambda path, mode: False)
    with pytest.raises(ConfigError, match="may not be written"):
        state_dir({"XDG_STATE_HOME": str(tmp_path)})
