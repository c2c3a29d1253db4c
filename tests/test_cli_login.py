"""`login`: a key comes from the provider, is kept, and is never shown."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from llmrouter import ProviderType, builtin, hookimpl
from llmrouter.cli import login
from llmrouter.config import load
from llmrouter.credentials import in_dotenv, in_file
from llmrouter.errors import LLMRouterError
from llmrouter.plugins import Plugins
from llmrouter.protocols import BuildContext
from llmrouter.provider import ProviderSettings
from tests.house import Upstream
from tests.listing import ANYTHING, Lister, endpoints
from tests.test_cli_look import call

KEY = "sk-very-secret-0123456789"
CONFIG = "providers: {mine: {plugin: door, api_key: 'file:none'}, shut: {plugin: wall, api_key: k}}\n"


class Door(Upstream):
    """A provider that lets in whoever says so in a browser."""

    said: str | Exception = KEY
    opened: bool | None = None

    async def login(self, show: Callable[[str], None], open_browser: bool) -> str:
        type(self).opened = open_browser
        show("open http://provider.example/auth")
        if isinstance(self.said, Exception):
            raise self.said
        return self.said


class Doors:
    @hookimpl
    def llmrouter_register_providers(self) -> Iterable[ProviderType]:
        def door(config: ProviderSettings, context: BuildContext) -> Door:
            return Door([])

        def wall(config: ProviderSettings, context: BuildContext) -> Lister:
            return Lister()

        return [
            ProviderType(name=name, config=ProviderSettings, schema=ANYTHING, build=build, endpoints=endpoints)
            for name, build in (("door", door), ("wall", wall))
        ]


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Runs `login` where the plugins `door` and `wall` are installed, with a configuration in the folder."""
    (tmp_path / "llmrouter.yaml").write_text(CONFIG)
    monkeypatch.chdir(tmp_path)

    def loaded(path: Path, environ: Mapping[str, str], **more: Any) -> Any:
        plugins = Plugins()
        plugins.register(Doors(), "doors")
        return load(path, environ, plugins=plugins, **more)

    monkeypatch.setattr("llmrouter.cli.offline.load", loaded)
    return lambda *words: call(login.command, *words, LLMROUTER_STATE_DIR=str(tmp_path / "state"))


def served(folder: Path, api_key: str) -> str:
    """The key that a configuration with this reference has."""
    file = folder / "using.yaml"
    file.write_text(f"providers: {{door: {{plugin: door, api_key: {json.dumps(api_key)}}}}}\n")
    plugins = Plugins()
    plugins.register(Doors(), "doors")
    settings = load(file, {}, plugins=plugins, builtins=[(builtin, builtin.NAME)]).settings
    secret = settings.providers["door"].accounts[0].api_key
    assert secret is not None
    return secret.reveal()


@pytest.mark.parametrize("name", ["mine", "door"])
def test_a_key_is_kept_for_this_user_alone_and_never_shown(
    house: Callable[..., Result], tmp_path: Path, name: str
) -> None:
    got = house(name)
    kept = tmp_path / "state" / "credentials" / name
    assert (got.exit_code, Door.opened) == (0, True)
    assert got.stdout == f'{name}: {{plugin: door, api_key: "file:{kept}"}}\n'
    assert "open http://provider.example/auth" in got.stderr
    assert "llmrouter serve" in got.stderr
    assert KEY not in got.output
    assert (kept.stat().st_mode & 0o777, kept.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert served(tmp_path, f"file:{kept}") == KEY


def test_on_request_the_key_goes_beside_the_configuration(house: Callable[..., Result], tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("OTHER=1")
    got = house("mine", "--env", "DOOR_KEY", "--no-browser", "--json")
    assert json.loads(got.stdout) == {"provider": "mine", "plugin": "door", "api_key": "${DOOR_KEY}"}
    assert (KEY in got.output, Door.opened) == (False, False)
    assert (tmp_path / ".env").read_text() == f"OTHER=1\nDOOR_KEY={KEY}\n"
    assert served(tmp_path, "${DOOR_KEY}") == KEY
    assert not (tmp_path / "state" / "credentials").exists()


def test_a_login_that_fails_leaves_what_was_there(
    house: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    house("mine")
    monkeypatch.setattr(Door, "said", LLMRouterError("nobody came back within 5 minutes"))
    got = house("mine")
    assert (got.exit_code, got.stdout) == (1, "")
    assert "mine: nobody came back" in got.stderr
    assert (tmp_path / "state" / "credentials" / "mine").read_text() == f"{KEY}\n"


@pytest.mark.parametrize("said", ["", "two words", "two\nlines", "a'quote", "with#mark"])
def test_what_is_no_key_is_not_kept(
    house: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    monkeypatch.setattr(Door, "said", said)
    got = house("mine")
    assert isinstance(got.exception, LLMRouterError)
    assert "nothing was kept" in str(got.exception)
    assert not [*(tmp_path / "state" / "credentials").iterdir()]


def test_a_provider_without_a_login_says_what_to_do(house: Callable[..., Result]) -> None:
    got = house("shut")
    assert (got.exit_code, got.stderr) == (
        1,
        "shut has no login: make a key on its site, and write it into `api_key`\n",
    )


def test_a_key_takes_the_place_of_the_last_one(tmp_path: Path) -> None:
    reference = in_file(tmp_path, "p", "one")
    assert in_file(tmp_path, "p", "two") == reference
    assert (tmp_path / "credentials" / "p").read_text() == "two\n"
    assert [one.name for one in (tmp_path / "credentials").iterdir()] == ["p"]


def test_a_variable_has_a_name(tmp_path: Path) -> None:
    assert in_dotenv(tmp_path, "KEY", "x") == "${KEY}"
    assert (tmp_path / ".env").stat().st_mode & 0o777 == 0o600
    with pytest.raises(LLMRouterError, match="no name of a variable"):
        in_dotenv(tmp_path, "A B", "x")
