from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from llmrouter.config import dump, effective, load, look
from llmrouter.config.redact import beneath_secret, names_secret, scrubbed, secrets_in, shown
from llmrouter.errors import LLMRouterError
from tests.configs import loaded, some_plugins, told, write

SECRETS = ("sk-live-0123456789abcdef", "hunter-two-and-three", "AIzaSyA1B2C3D4E5F6G7H8I9J0", "abcdefgh")
REFERENCED = {
    "KEY": "variable-value-that-is-secret",
    "SHORT": "ZQ9/x",
    "BRIEF": "ZQ8",
    "URL": "redis://user:pass-of-redis@host/0",
}
NAMES = [
    "providers", "acme", "plugin", "api_key", "accounts", "id", "admin_key", "server", "keys", "hash", "name",
    "token", "base_url", "timeout", "region", "select", "groups", "aliases", "routing", "limits", "models",
]  # fmt: skip

leaves = st.one_of(
    st.sampled_from(
        ["acme", "${KEY}", "${SHORT}", "${BRIEF}", "x ${URL} y", "file:secret-file", "${MISSING}", "5s", "a/b"]
    ),
    st.sampled_from([0, -1, 1.5, True, None]),
)
documents = st.recursive(
    leaves,
    lambda inner: st.dictionaries(st.sampled_from(NAMES), inner, max_size=4) | st.lists(inner, max_size=3),
    max_leaves=25,
)


def told_of(document: Any, folder: Path) -> str:
    (folder / "secret-file").write_text("what-the-secret-file-holds\n")
    path = write(folder, yaml.safe_dump(document))
    try:
        return "\n".join(map(str, load(path, REFERENCED, plugins=some_plugins()).warnings))
    except LLMRouterError as error:
        return str(error)


@given(documents)
@settings(max_examples=150, deadline=None)
def test_what_variables_and_files_hold_is_in_no_message(document: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        text = told_of({"providers": {"acme": {"plugin": "acme"}}, "server": document}, Path(folder))
        text += told_of({"providers": {"acme": document}}, Path(folder))
        text += told_of(document, Path(folder))
    for secret in (*REFERENCED.values(), "what-the-secret-file-holds", "pass-of-redis", "ZQ"):
        assert secret not in text


def places(secret: str) -> Mapping[str, Any]:
    """The secret in every place where one belongs, and wrong in each."""
    return {
        "providers": {
            "acme": {"plugin": "acme", "api_key": [secret], "token": {"a": secret}, "timeout": "5"},
            "open": {"plugin": "acme", "opener": [secret]},
            "wide": {"plugin": "acme", "opener": {"a": secret}},
            "two": {"plugin": "acme", "api_kye": secret, "accounts": [{"id": "a b", "api_key": {"x": secret}}]},
            "three": {"plugin": "acme", "accounts": [{"api_key": secret, "key": secret}]},
            "four": {"plugin": "zzz", "api_key": [[secret]]},
        },
        "server": {"admin_key": [secret], "keys": [{"name": secret, "hash": secret, "limits": secret}, secret]},
    }


@pytest.mark.parametrize("secret", SECRETS)
def test_a_secret_in_its_place_is_in_no_message(tmp_path: Path, secret: str) -> None:
    found = told(tmp_path, yaml.safe_dump(places(secret)))
    assert len(found) >= 8
    assert secret not in "\n".join(found)


@pytest.mark.parametrize("secret", SECRETS[:1] + SECRETS[2:3])
@pytest.mark.parametrize(
    "line",
    [
        "engine: {{deadline: {0}}}",
        "logging: {{level: {0}}}",
        "{0}: 1",
        "server: {{{0}: 1}}",
        "groups: {{{0}: 5}}",
        "aliases: {{a: {0}}}",
        "routing: {{default: {0}/x}}",
        "aliases: {{{0}: {0}}}",
        "quota: {{plugin: {0}}}",
        "plugins: {{disable: [{0}]}}",
        "a: *{0}",
        "a: !{0} b",
        "a: @{0}",
        "a: {{{0}: 1, {0}: 2}}",
        "a: [{0}",
        "a: '{0}",
        "a: b: {0}",
        "server: {{host: '${{{0}}}'}}",
        "server: {{host: 'file:{0}'}}",
        "providers: {{{0}/: {{}}}}",
    ],
)
def test_a_credential_in_a_wrong_place_is_in_no_message(tmp_path: Path, line: str, secret: str) -> None:
    text = line.format(secret)
    found = told(tmp_path, text if "providers" in text else f"providers: {{acme: {{plugin: acme}}}}\n{text}\n")
    assert found
    assert secret not in "\n".join(found)


def test_settings_do_not_show_secrets(tmp_path: Path) -> None:
    text = "providers: {acme: {plugin: acme, api_key: abcdefgh, token: '${T}'}}\nserver: {admin_key: ijklmnop}"
    shown_settings = repr(loaded(tmp_path, text, {"T": "qrstuvwx"}).settings)
    assert all(secret not in shown_settings for secret in ("abcdefgh", "ijklmnop", "qrstuvwx"))


def test_the_words_of_a_plugin_are_searched_for_secrets(tmp_path: Path) -> None:
    from attrs import frozen

    from llmrouter.plugins import Plugins
    from llmrouter.settings import ProviderSettings
    from tests.configs import AcmePlugin

    @frozen(kw_only=True)
    class Talkative(ProviderSettings):
        region: str = ""

        def __attrs_post_init__(self) -> None:
            key = self.accounts[0].api_key
            raise ValueError(f"{key and key.reveal()} does not work in {self.region}")

    plugins = Plugins()
    plugins.register(AcmePlugin(config=Talkative), "provider-acme")
    text = "providers: {acme: {plugin: acme, api_key: not-to-be-told, region: '${R}'}}"
    found = told(tmp_path, text, {"R": "where-nobody-knows"}, plugins=plugins)
    assert found == ["1:19 providers.acme: … does not work in …"]


def test_show_gives_defaults_and_no_secret(tmp_path: Path) -> None:
    text = """\
providers:
  acme:
    {plugin: acme, api_key: in-the-file-itself, token: '${KEY}', opener: simsalabim, region: '${KEY}',
     base_url: 'http://u:pw@h/'}
  other: {plugin: other, password: in-the-file-itself, note: 'Bearer sk-abcdef123456', region: '${R:-sk-abcdef}'}
server: {keys: [{name: dev, hash: 'sha256:HASH'}], admin_key: file:secret-file}
cache: {plugin: shelf, path: 22:00}
""".replace("HASH", "ab" * 32)
    (tmp_path / "secret-file").write_text("what-the-secret-file-holds")
    reading = look(write(tmp_path, text), REFERENCED, plugins=some_plugins())
    document = effective(reading)
    acme, other = document["providers"]["acme"], document["providers"]["other"]
    assert (acme["api_key"], acme["token"], acme["region"]) == ("…", "…", "${KEY}")
    assert acme["opener"] == "…"
    assert acme["base_url"] == "http://…@h/"
    assert (acme["select"], acme["enabled"]) == ("most_headroom", True)
    assert (other["password"], other["note"], other["region"]) == ("…", "Bearer …", "${R:-…}")
    assert document["server"]["keys"] == [{"name": "dev", "hash": "…", "limits": []}]
    assert document["server"]["admin_key"] == "…"
    assert document["engine"]["timeouts"]["connect"] == "5s"
    assert document["cache"] == {"plugin": "shelf", "path": "22:00", "ttl": "1h", "shared": False}
    assert document["breaker"]["consecutive"] == 5


def test_what_show_prints_can_be_read_again(tmp_path: Path) -> None:
    text = (
        "providers: {acme: {plugin: acme, region: '1e3', extra: {a: '012', b: '0o7', c: 'on', d: '22:00'}}}\n"
        "groups: {g: {members: [[acme/x], [acme/y]], policy: {plugin: cheapest}}}\nbreaker: null\n"
    )
    first = effective(look(write(tmp_path, text), {}, plugins=some_plugins()))
    again = effective(look(write(tmp_path, dump(first)), {}, plugins=some_plugins()))
    assert again == first
    assert first["breaker"] is None
    assert first["providers"]["acme"]["extra"] == {"a": "012", "b": "0o7", "c": "on", "d": "22:00"}
    assert "deadline: 600s\n" in dump(first)


@pytest.mark.parametrize(
    "name", ["api_key", "keys", "hash", "x-api-key", "client_secret", "token", "Authorization"]
)
def test_names_of_secrets_are_known(name: str) -> None:
    assert names_secret(("a", name))
    assert beneath_secret(("a", name, 0, "b"))


@pytest.mark.parametrize("name", ["input_tokens", "tokens", "keyboard", "monkey", "hashed", "url"])
def test_other_names_are_not(name: str) -> None:
    assert not names_secret(("a", name))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("abc", '"abc"'),
        (None, "null"),
        (True, "true"),
        (1.5, "1.5"),
        ({}, "a mapping"),
        ([], "a list"),
        ("some-model-2.5-flash-preview-05-20", '"some-model-2.5-flash-preview-05-20"'),
        ("sk-proj-abcdef", '"…"'),
        ("x" * 100, '"' + "x" * 49 + '…"'),
    ],
)
def test_values_are_shown_short_and_without_credentials(value: Any, text: str) -> None:
    assert shown(value) == text


def test_the_longest_secret_is_taken_out_first() -> None:
    assert scrubbed("abc-def and abc", {"abc", "abc-def"}) == "… and …"


def test_secrets_are_found_by_their_names() -> None:
    document = {"keys": [{"name": "some-long-name", "hash": "some-long-hash"}], "api_keys": ["some-long-key1"]}
    assert secrets_in(document) == {"some-long-hash", "some-long-key1"}
