from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from llmrouter.config.document import Document, Mark, dotted, parse, read
from llmrouter.errors import ConfigError


def document(text: str) -> Document:
    return parse(text, "a.yaml", Path())


def value(text: str) -> Any:
    return document(text).value


def refused(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        document(text)
    return str(caught.value)


def noted(text: str) -> list[str]:
    return [str(problem) for problem in document(text).problems]


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("22:00", "22:00"),
        ("12:30:45", "12:30:45"),
        ("on", "on"),
        ("NO", "NO"),
        ("y", "y"),
        ("012", 12),
        ("0o17", 15),
        ("0x1F", 31),
        ("1_000", "1_000"),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("-2", -2),
        ("2026-01-01", "2026-01-01"),
        ("true", True),
        ("False", False),
        ("~", None),
        ("", None),
        ("null", None),
        (".inf", ".inf"),
        ("1e999", "1e999"),
        ('"012"', "012"),
        ("'true'", "true"),
        ("!!str 012", "012"),
        ("!!int 12", 12),
        ("|\n  two\n  lines", "two\nlines"),
        ("=", "="),
    ],
)
def test_words_mean_what_yaml_1_2_says(text: str, meant: Any) -> None:
    found = value(f"key: {text}")["key"]
    assert found == meant
    assert type(found) is type(meant)


def test_the_parser_in_python_reads_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "a: [1, {b: on}]\nc: &x 1e3\nd: *x\n"
    quick = document(text)
    monkeypatch.delattr(yaml, "CSafeLoader")
    assert document(text) == quick
    assert "secretive" not in refused("a: *secretive")


def test_every_value_and_every_key_has_its_place() -> None:
    found = document("a:\n  - b: 1\n    c: [x, y]\n")
    assert found.mark(("a", 0, "c", 1)) == Mark(3, 12)
    assert found.mark(("a", 0, "c"), key=True) == Mark(3, 5)
    assert found.mark(("a", 0, "c")) == Mark(3, 8)


def test_what_is_not_in_the_file_is_placed_in_what_it_would_be_in() -> None:
    found = document("a:\n  b: 1\n")
    assert found.mark(("a", "missing", 3)) == Mark(2, 3)
    assert Document({}, "environment", Path()).mark(("a",)) is None


def test_a_key_that_is_there_twice_is_noted_with_both_lines() -> None:
    assert noted("a: 1\nb: 2\na: 3\n") == ["a.yaml:3:1 a: is there twice, first in line 1"]
    assert value("a: 1\na: 3\n") == {"a": 1}


@pytest.mark.parametrize("key", ["12", "true", "~", "1e3"])
def test_a_key_that_is_not_text_is_noted(key: str) -> None:
    assert f'write "{key}"' in noted(f"{key}: 1")[0]
    assert noted(f'"{key}": 1') == []


def test_a_key_that_is_a_list_is_refused() -> None:
    assert "a key must be a word" in refused("? [a, b]\n: 1")


def test_merge_keys_are_noted_as_yaml_1_1() -> None:
    assert "1.1" in noted("base: &b {x: 1}\nuse:\n  <<: *b\n")[0]


def test_an_alias_repeats_what_its_anchor_names() -> None:
    assert value("a: &x [1, 2]\nb: *x\n") == {"a": [1, 2], "b": [1, 2]}
    assert document("a: &x {k: 1}\nb: *x\n").mark(("b", "k")) == Mark(2, 4)


@pytest.mark.parametrize("text", ["a: *secretive\n", "a: &secretive [*secretive]\n"])
def test_an_alias_without_an_anchor_before_it_is_refused_and_not_repeated(text: str) -> None:
    message = refused(text)
    assert "alias" in message
    assert "secretive" not in message


def test_aliases_that_multiply_are_refused() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    assert "aliases that multiply" in refused("\n".join(lines))


@pytest.mark.parametrize("text", ["[" * 200_000, "{a: " * 200_000, "[" * 60 + "]" * 60])
def test_deep_nesting_is_refused_and_not_a_crash(text: str) -> None:
    assert "deep" in refused(text)


def test_a_tab_is_named() -> None:
    assert refused("a:\n\tb: 1\n") == "a.yaml:2:1 a tab: YAML is indented with spaces"


@pytest.mark.parametrize("text", ["a: {k: ${KEY}, b: 1}", "a: [${KEY}]", "a: [x,\n  {k: ${KEY}}]"])
def test_forgotten_quotes_around_a_variable_are_explained(text: str) -> None:
    assert 'must be in quotes: "${NAME}"' in refused(text)


def test_a_variable_without_quotes_is_fine_outside_of_braces() -> None:
    assert value("a: ${KEY}") == {"a": "${KEY}"}


def test_a_value_that_begins_with_a_reserved_sign_is_explained() -> None:
    assert refused("a: @home") == "a.yaml:1:4 a value cannot begin with '@': put it in quotes"


def test_a_colon_inside_a_value_is_explained() -> None:
    assert "in quotes" in refused("a: b: c")


@pytest.mark.parametrize("text", ["a: {b: 1", "a: 'x", "a:\n  - b\n c: 1", "%YAML 3.0\n---\na: 1"])
def test_what_is_not_yaml_is_refused_with_its_place(text: str) -> None:
    assert refused(text).startswith("a.yaml:")
    assert "is not YAML" in refused(text)


def test_a_second_document_is_refused() -> None:
    assert "a.yaml:2:1" in refused("a: 1\n---\nb: 2\n")


def test_a_tag_is_noted_without_its_name() -> None:
    assert noted("a: !sk-secret x")[0].startswith("a.yaml:1:4 a: a word after “!” is a tag")
    assert "secret" not in str(noted("a: !sk-secret x"))


def test_control_characters_are_refused() -> None:
    assert "control character" in refused("a: \x01")


@pytest.mark.parametrize("text", ["", "# nothing\n"])
def test_an_empty_file_is_null(text: str) -> None:
    assert value(text) is None


def test_a_number_too_long_to_read_is_text() -> None:
    assert value(f"a: {'9' * 5000}")["a"] == "9" * 5000


def test_a_file_is_read_with_or_without_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: 1\r\nb: 2\r\n")
    assert read(path).value == {"a": 1, "b": 2}
    assert read(path).folder == tmp_path


def test_a_file_that_is_not_utf8_or_not_there_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(b"a: \xff")
    with pytest.raises(ConfigError, match="UTF-8"):
        read(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        read(tmp_path / "b.yaml")


def test_paths_are_written_as_one_reads_them() -> None:
    assert dotted(("providers", "a-b", "models", "m.1/x", "accounts", 0)) == (
        'providers.a-b.models["m.1/x"].accounts[0]'
    )
    assert dotted(("a.b",)) == '["a.b"]'
