"""`models` and `catalogue refresh`: of a running router, and without one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import Result

from llmrouter.catalogue.lists import Listing
from llmrouter.cli import catalogue, models
from llmrouter.config import load
from llmrouter.discovery import ListFile
from llmrouter.discovery.told import Row, Source, Told
from llmrouter.errors import LLMRouterError
from llmrouter.plugins import Plugins
from llmrouter.types import Price, Tier
from tests.listing import CONFIG, Market, model
from tests.test_cli_look import NOBODY, answering, call

TIER = Tier(prompt=200_000, input=0.5, output=2)
CHEAP = Price(input=0.25, output=1.0, cache_read=0.02, request=0.001, tiers=(TIER,))
FREE = Price(input=0, output=0)


def row(id: str, **more: Any) -> Row:
    provider, _, name = id.partition("/")
    usual: dict[str, Any] = {
        "context_window": None, "max_output": None, "price": None, "abilities": None, "quality": 0.5,
        "state": "listed", "since": 1.0, "gone": None,
    }  # fmt: skip
    author = name.partition("/")[0] if "/" in name else provider
    return Row(id=id, provider=provider, model=name, author=author, **usual | more)


TOLD = Told(
    models=[
        row(
            "many/acme/coder", context_window=262_144, price=CHEAP, abilities=["tools", "vision"], max_output=8_000
        ),
        row("many/acme/small:free", context_window=32_768, price=FREE, abilities=["tools"]),
        row("many/other/big", context_window=1_048_576, price=CHEAP, abilities=[], state="gone", gone=2.0),
        row("own/local", state="configured"),
    ],
    providers=[Source(provider="many", at=1.0, tried=1.0, models=2, gone=1, problem="")],
)


def running(*words: str) -> Result:
    with answering({"/admin/models": (200, msgspec.json.encode(TOLD))}) as (url, _):
        return call(models.command, *words, "--url", url)


def shown(*words: str) -> list[str]:
    return [line.split()[0] for line in running(*words).stdout.splitlines()[1:]]


# --- of a running router


def test_models_are_shown_with_what_they_cost_and_can_do() -> None:
    got = running()
    assert (got.exit_code, got.stderr) == (0, "")
    assert got.stdout.splitlines() == [
        "model                 window       in    out  abilities      state",
        "many/acme/coder         262k  $0.2500  $1.00  tools, vision  listed",
        "many/acme/small:free     33k     free   free  tools          listed",
        "many/other/big          1.0M  $0.2500  $1.00  –              gone",
        "own/local                  –        ?      ?  –              configured",
    ]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["search", "ACME"], ["many/acme/coder", "many/acme/small:free"]),
        (["--free"], ["many/acme/small:free"]),
        (["--context", "200k"], ["many/acme/coder", "many/other/big"]),
        (["--context", "1M"], ["many/other/big"]),
        (["--context", "262145"], ["many/other/big"]),
        (["--tools"], ["many/acme/coder", "many/acme/small:free"]),
        (["--provider", "own"], ["own/local"]),
        (["--author", "other"], ["many/other/big"]),
        (["search", "o", "--tools", "--context", "100k", "--author", "acme"], ["many/acme/coder"]),
    ],
)
def test_models_are_picked(words: list[str], expected: list[str]) -> None:
    assert shown(*words) == expected


def test_as_json_they_are_what_the_admin_api_says() -> None:
    assert msgspec.json.decode(running("--json").stdout, type=Told) == TOLD
    picked = json.loads(running("search", "coder", "--json").stdout)["models"]
    assert [(one["id"], one["price"]["input"]) for one in picked] == [("many/acme/coder", 0.25)]


@pytest.mark.parametrize("name", ["many/acme/coder", "acme/coder"])
def test_one_model_is_told_whole(name: str) -> None:
    assert running("show", name).stdout.splitlines() == [
        "model                    many/acme/coder",
        "state                    listed",
        "author                   acme",
        "context window           262,144 tokens",
        "longest answer           8,000 tokens",
        "price, input             $0.2500 per million tokens",
        "price, output            $1.00 per million tokens",
        "price, cache read        $0.0200 per million tokens",
        "price, request           $0.0010",
        "price, from 200k tokens  $0.5000 per million tokens, $2.00 per million tokens",
        "abilities                tools, vision",
        "quality                  0.5",
    ]
    assert json.loads(running("show", name, "--json").stdout)["models"][0]["id"] == "many/acme/coder"


def test_a_model_that_is_not_there_is_answered_with_what_was_meant() -> None:
    got = running("show", "acme/codr")
    assert (got.exit_code, got.stdout) == (6, "")
    assert "Did you mean 'acme/coder'?" in got.stderr
    assert running("search", "nothing").exit_code == 1


@pytest.mark.parametrize("words", [["show"], ["search"], ["find", "x"], ["--context", "many"]])
def test_wrong_words_are_wrong_usage(words: list[str]) -> None:
    assert running(*words).exit_code == 2


@pytest.mark.parametrize(("answer", "code"), [((200, b"<p>"), 4), ((403, b""), 5), ((404, b""), 6)])
def test_what_is_no_router_is_told(answer: tuple[int, bytes], code: int) -> None:
    with answering({"/admin/models": answer}) as (url, _):
        assert call(models.command, "--url", url).exit_code == code


# --- without one


@pytest.fixture
def market(monkeypatch: pytest.MonkeyPatch) -> Market:
    """The command line finds the plugin `market` installed."""
    market = Market(model("acme/new", price=CHEAP), model("acme/old"))

    def loaded(path: Path, environ: Mapping[str, str], **more: Any) -> Any:
        plugins = Plugins()
        plugins.register(market, "market")
        return load(path, environ, plugins=plugins, **more)

    monkeypatch.setattr("llmrouter.cli.offline.load", loaded)
    return market


@pytest.fixture
def state(tmp_path: Path) -> dict[str, str]:
    file = tmp_path / "llmrouter.yaml"
    file.write_text(CONFIG.replace("api_key: k", "api_key: k, models: {own: {}}"))
    return {"LLMROUTER_STATE_DIR": str(tmp_path), "LLMROUTER_CONFIG": str(file), "LLMROUTER_URL": NOBODY}


def test_without_a_router_the_configuration_is_shown(market: Market, state: dict[str, str]) -> None:
    got = call(models.command, **state)
    assert [line.split()[::5] for line in got.stdout.splitlines()[1:]] == [["many/own", "configured"]]
    assert "none yet: `llmrouter catalogue refresh`" in got.stderr
    assert call(models.command, "--url", "http://router.invalid:1", **state).exit_code == 4


def test_refreshed_lists_are_kept_and_shown_with_their_age(market: Market, state: dict[str, str]) -> None:
    first = call(catalogue.command, "refresh", **state)
    assert (first.exit_code, first.stdout) == (0, "")
    assert first.stderr.splitlines() == ["asking many", "many: 2 models, 2 new, 0 gone"]
    market.say(model("acme/new"), model("acme/newer"))
    second = json.loads(call(catalogue.command, "refresh", "--json", **state).stdout)["providers"]
    assert [(one["provider"], one["models"], one["new"], one["gone"]) for one in second] == [("many", 2, 1, 1)]
    got = call(models.command, "--json", **state)
    states = {one["model"]: one["state"] for one in json.loads(got.stdout)["models"]}
    assert states == {"own": "unlisted", "acme/new": "listed", "acme/newer": "listed", "acme/old": "gone"}
    assert "many " in got.stderr
    assert " old)" in got.stderr


def test_a_list_that_cannot_be_read_leaves_the_last_one(market: Market, state: dict[str, str]) -> None:
    assert call(catalogue.command, "refresh", **state).exit_code == 0
    market.lister.lists = {"": LLMRouterError("auth: this key is not known\x1b[2J")}
    got = call(catalogue.command, "refresh", **state)
    assert (got.exit_code, got.stderr.splitlines()[1]) == (1, r"many: auth: this key is not known\x1b[2J")
    assert len(json.loads(call(models.command, "--json", **state).stdout)["models"]) == 3


def test_only_the_providers_that_are_named_are_asked(market: Market, state: dict[str, str], tmp_path: Path) -> None:
    text = CONFIG.replace("providers:\n", "providers:\n  more: {plugin: market, api_key: k}\n")
    (tmp_path / "llmrouter.yaml").write_text(text)
    ListFile(tmp_path).write({"other": Listing(of="x")})
    assert "asking more\n" in call(catalogue.command, "refresh", "--provider", "more", **state).stderr
    assert {*ListFile(tmp_path).read()} == {"more", "other"}
    got = call(catalogue.command, "refresh", "--provider", "nobody", **state)
    assert (got.exit_code, "'nobody' is not configured" in got.stderr) == (6, True)
