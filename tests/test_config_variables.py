from __future__ import annotations

from pathlib import Path

import pytest

from llmrouter.settings import ProviderSettings
from tests.configs import loaded, told


def entry(folder: Path, keys: str, environ: dict[str, str] | None = None) -> ProviderSettings:
    text = f"providers:\n  acme:\n    plugin: acme\n    {keys}\n"
    return loaded(folder, text, environ).settings.providers["acme"]


def key(folder: Path, text: str, environ: dict[str, str] | None = None) -> str:
    secret = entry(folder, f"api_key: {text}", environ).accounts[0].api_key
    assert secret is not None
    return secret.reveal()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${KEY}", "abc"),
        ("x-${KEY}-${OTHER}", "x-abc-def"),
        ("${MISSING:-default}", "default"),
        ("${EMPTY:-default}", "default"),
        ("${KEY:-default}", "abc"),
        ("$${KEY}", "${KEY}"),
        ("$KEY", "$KEY"),
        ("plain", "plain"),
    ],
)
def test_variables_are_put_in(tmp_path: Path, text: str, value: str) -> None:
    assert key(tmp_path, text, {"KEY": "abc", "OTHER": "def", "EMPTY": ""}) == value


def test_a_missing_variable_is_named_with_its_place(tmp_path: Path) -> None:
    text = 'providers: {acme: {plugin: acme, api_key: "${ACME_KEY}", base_url: "${ACME_URL}"}}'
    assert told(tmp_path, text) == [
        "1:43 providers.acme.api_key: the variable ACME_KEY is not set",
        "1:68 providers.acme.base_url: the variable ACME_URL is not set: set it, or write ${ACME_URL:-default}",
    ]


def test_an_empty_variable_is_as_good_as_none(tmp_path: Path) -> None:
    text = 'providers: {acme: {plugin: acme, api_key: "${ACME_KEY}"}}'
    assert "is empty" in told(tmp_path, text, {"ACME_KEY": ""})[0]


@pytest.mark.parametrize("text", ["${sk-abc}", "${}", "${A:-${B}}", "${A", "${A-b}", "${1A}"])
def test_what_is_not_a_variable_is_refused_without_its_text(tmp_path: Path, text: str) -> None:
    found = told(tmp_path, f"providers: {{acme: {{plugin: acme, api_key: '{text}'}}}}", {"A": "a"})
    assert "a variable is written ${NAME} or ${NAME:-default}" in found[0]
    assert "sk-abc" not in found[0]


def test_a_variable_is_a_number_where_one_is_due_and_text_elsewhere(tmp_path: Path) -> None:
    text = (
        "providers: {acme: {plugin: acme, api_key: '${N}', enabled: '${NO}', accounts: []}}\n"
        "server: {port: '${N}'}\n"
    ).replace(", accounts: []", "")
    settings = loaded(tmp_path, text, {"N": "4100", "NO": "false"}).settings
    assert settings.server.port == 4100
    assert settings.providers["acme"].enabled is False
    secret = settings.providers["acme"].accounts[0].api_key
    assert secret is not None
    assert secret.reveal() == "4100"


def test_what_a_variable_holds_is_checked_and_not_repeated(tmp_path: Path) -> None:
    text = "providers: {acme: {plugin: acme, select: '${HOW}'}}\nserver: {port: '${N}'}\n"
    found = told(tmp_path, text, {"HOW": "hidden", "N": "web-server"})
    assert "must be round_robin" in found[0]
    assert "and what ${HOW} gives is not" in found[0]
    assert "what ${N} gives is not" in found[1]
    assert "hidden" not in str(found)
    assert "web-server" not in str(found)


def test_names_from_variables_are_told_by_their_variable(tmp_path: Path) -> None:
    text = (
        "providers:\n  acme: {plugin: acme, limits: [{usd: 1, per: day, reset: '00:00 ${X}'}]}\n"
        "  b: {plugin: '${X}'}\n"
        "routing: {default: '${X}', tasks: {a: {prefer: ['${X}'], models: ['${X}', '${Y}']}}}\n"
        "groups: {g: ['${Y}']}\naliases: {a: '${X}', b: '${Y}'}\nplugins: {allow: ['${X}']}\n"
    )
    found = told(tmp_path, text, {"X": "zq", "Y": "zq/x"})
    assert len(found) == 10
    assert all("what ${X} gives" in one or "what ${Y} gives" in one for one in found)
    assert not any("zq" in one for one in found)


def test_the_name_of_a_plugin_may_be_a_variable(tmp_path: Path) -> None:
    text = "providers: {acme: {plugin: '${WHICH}', regoin: x}}\n"
    assert 'Did you mean "region"' in told(tmp_path, text, {"WHICH": "acme"})[0]


def test_a_file_gives_its_text_without_the_last_line_end(tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "acme").write_text("abc\n")
    assert key(tmp_path, "file:secrets/acme") == "abc"
    assert key(tmp_path, f"file:{tmp_path}/secrets/acme") == "abc"
    assert key(tmp_path, "file:${DIR}/acme", {"DIR": "secrets"}) == "abc"


def test_a_file_that_cannot_be_read_is_named_but_for_what_a_variable_gave(tmp_path: Path) -> None:
    text = "providers: {acme: {plugin: acme, api_key: 'file:nowhere'}}"
    assert "the file nowhere cannot be read: No such file or directory" in told(tmp_path, text)[0]
    text = "providers: {acme: {plugin: acme, api_key: 'file:${DIR}/x'}}"
    assert "the file cannot be read" in told(tmp_path, text, {"DIR": "hidden"})[0]


def test_an_address_that_begins_with_file_is_no_file(tmp_path: Path) -> None:
    assert entry(tmp_path, 'region: "file:///x"').__getattribute__("region") == "file:///x"


def test_the_file_dotenv_beside_the_configuration_is_read(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(
        "# comment\n\nA=1 # one\nexport B='two # words'\nC = \"three\"\nD=\nE=a#b\nBAD LINE sk-abc\n"
    )
    texts = {name: key(tmp_path, f"${{{name}:-none}}") for name in "ABCDE"}
    assert texts == {"A": "1", "B": "two # words", "C": "three", "D": "none", "E": "a#b"}
    warnings = loaded(tmp_path, "providers: {acme: {plugin: acme}}").warnings
    assert [str(one).removeprefix(f"{tmp_path}/") for one in warnings] == [
        ".env:8 is not NAME=value, and was passed over"
    ]


def test_the_real_environment_goes_before_dotenv(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("KEY=from-file\n")
    assert key(tmp_path, "${KEY}", {"KEY": "real"}) == "real"
    assert key(tmp_path, "${KEY}") == "from-file"


def test_a_dotenv_that_cannot_be_read_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / ".env").mkdir()
    assert ".env cannot be read: IsADirectoryError" in told(tmp_path, "providers: {acme: {plugin: acme}}")[0]


def test_without_requiring_variables_they_are_warnings_and_defaults_stand_in(tmp_path: Path) -> None:
    text = (
        'providers: {acme: {plugin: acme, api_key: "${K}", select: "${S}"}, b: {plugin: "${P}"}}\n'
        'server: {port: "${PORT}", keys: [{name: a, hash: "${H}", limits: [{usd: "${USD}", per: day}]}]}\n'
        'engine: {deadline: "${TIME}"}\n'
    )
    found = loaded(tmp_path, text, require_variables=False)
    assert found.settings.server.port == 4000
    assert found.settings.providers["acme"].select == "most_headroom"
    assert [one.path for one in found.warnings] == [
        "providers.acme.api_key",
        "providers.acme.select",
        "providers.b.plugin",
        "server.port",
        "server.keys[0].hash",
        "server.keys[0].limits[0].usd",
        "engine.deadline",
    ]
    assert all(one.warning for one in found.warnings)
