"""Values under JSON Schemas: valid, bounded, always the same."""

from __future__ import annotations

import json
import re
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from llmrouter_provider_echo.patterns import NoSample, matching
from llmrouter_provider_echo.samples import sample

TREE = {
    "$defs": {
        "node": {
            "type": "object",
            "properties": {
                "name": {"type": "string"},
                "left": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]},
                "right": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]},
                "more": {"type": "array", "items": {"$ref": "#/$defs/node"}},
            },
            "required": ["name", "left", "right", "more"],
            "additionalProperties": False,
        }
    },
    "$ref": "#/$defs/node",
}

VALID: list[Any] = [
    {},
    True,
    {"const": {"a": [1]}},
    {"enum": ["red", "green"]},
    {"type": ["null", "string"]},
    {"type": "object", "properties": {"a": {"type": "object", "properties": {"b": {"enum": [3]}}}}},
    {"type": "object", "required": ["not described"]},
    {"properties": {"a": {"type": "boolean"}}, "required": ["a"]},
    {"type": "array", "items": {"type": "integer"}, "minItems": 3, "uniqueItems": True},
    {"type": "array", "items": {"type": "object", "properties": {"id": {"type": "string"}}}, "minItems": 2,
     "uniqueItems": True},
    {"type": "array", "prefixItems": [{"type": "string"}, {"type": "number"}], "items": False},
    {"type": "array", "maxItems": 0},
    {"items": {"type": "boolean"}},
    {"type": "string", "minLength": 30},
    {"type": "string", "maxLength": 2},
    {"type": "string", "pattern": "^[A-Z]{3}-[0-9]{4}$"},
    {"type": "string", "pattern": "^[a-f0-9]+$", "minLength": 40, "maxLength": 64},
    {"type": "integer", "minimum": 5, "maximum": 5},
    {"type": "integer", "maximum": -7},
    {"type": "integer", "exclusiveMinimum": 5, "multipleOf": 4},
    {"type": "integer", "multipleOf": 0.5, "minimum": 3},
    {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
    {"type": "number", "exclusiveMaximum": 0},
    {"type": "number", "minimum": 0.25, "maximum": 0.5},
    {"minimum": 3},
    {"type": "null"},
    {"type": "array", "items": False},
    {"allOf": [{"allOf": [{"type": "integer"}]}, {"minimum": 4}]},
    {"allOf": [{"allOf": [{"type": "integer"}]}, {"allOf": [{"minimum": 4}]}]},
    {"anyOf": [False, {"type": "integer"}]},
    {"oneOf": [{"type": "string"}, {"type": "integer"}]},
    {"anyOf": [{"required": ["a"]}], "type": "object", "properties": {"a": {"type": "integer"}}},
    {"allOf": [{"properties": {"a": {"type": "string"}}, "required": ["a"]},
               {"$ref": "#/$defs/b"}], "type": "object",
     "$defs": {"b": {"properties": {"b": {"const": 1}}, "required": ["b"]}}},
    {"$defs": {"a/b~c": {"const": 7}}, "$ref": "#/$defs/a~1b~0c"},
    {"$defs": {"x": {"type": "string"}}, "properties": {"a": {"$ref": "#/$defs/x", "maxLength": 1}}},
    {"type": "object", "properties": {"impossible": False, "fine": {"type": "string"}}},
    TREE,
]  # fmt: skip

IMPOSSIBLE: list[Any] = [
    False,
    {"enum": []},
    {"$ref": "#"},
    {"$ref": "https://example.com/schema"},
    {"$ref": "#/$defs/missing"},
    {"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"},
    {"$defs": {"a": {"allOf": [{"$ref": "#/$defs/a"}]}}, "$ref": "#/$defs/a"},
    {"type": "object", "properties": {"me": {"$ref": "#"}}, "required": ["me"]},
    {"type": "array", "minItems": 10**9},
    {"type": "array", "items": False, "minItems": 1},
    {"type": "string", "minLength": 10**9},
    {"type": "integer", "minimum": 0.2, "maximum": 0.8},
    {"type": "integer", "multipleOf": 0},
    {"type": "color"},
    {"anyOf": []},
    {"type": 7},
    {"allOf": [{"type": "string"}, False]},
    {"type": "array", "prefixItems": [False], "minItems": 1},
    {"enum": 5},
    {"type": "object", "properties": [1]},
    {"type": "integer", "minimum": "five"},
]


@pytest.mark.parametrize("schema", VALID, ids=lambda schema: json.dumps(schema)[:60])
def test_a_sample_is_valid_and_the_same_every_time(schema: Any) -> None:
    value = sample(schema)
    checker = jsonschema.Draft202012Validator(schema, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER)
    checker.validate(value)
    assert value == sample(schema)
    assert len(json.dumps(value)) < 20_000


@pytest.mark.parametrize("schema", IMPOSSIBLE, ids=lambda schema: json.dumps(schema)[:60])
def test_what_has_no_small_value_is_said_to_have_none(schema: Any) -> None:
    with pytest.raises(NoSample):
        sample(schema)


def test_optional_parts_are_filled_in_near_the_top_only() -> None:
    assert sample({"type": "object", "properties": {"a": {"type": "string"}}}) == {"a": "a"}
    inner: dict[str, Any] = {"type": "string"}
    for _ in range(6):
        inner = {"type": "object", "properties": {"in": inner}}
    assert sample(inner) == {"in": {"in": {"in": {}}}}


@pytest.mark.parametrize(
    "form", ["date-time", "date", "time", "email", "ipv4", "ipv6", "uuid", "regex", "unheard-of"]
)
def test_formats_are_kept(form: str) -> None:
    schema = {"type": "string", "format": form}
    jsonschema.Draft202012Validator(schema, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER).validate(
        sample(schema)
    )


_LEAVES = st.sampled_from(
    [
        {"type": "string"}, {"type": "integer"}, {"type": "number", "minimum": -2}, {"type": "boolean"},
        {"type": "null"}, {"enum": ["a", 1, None]}, {"const": "x"}, {"$ref": "#/$defs/word"},
        {"type": ["integer", "null"], "maximum": 3}, {"type": "string", "maxLength": 3},
    ]
)  # fmt: skip
_SCHEMAS = st.recursive(
    _LEAVES,
    lambda inner: (
        st.builds(
            lambda properties, required: {
                "type": "object",
                "properties": properties,
                "required": sorted(properties)[:required],
                "additionalProperties": False,
            },
            st.dictionaries(st.sampled_from("abcdef"), inner, max_size=4),
            st.integers(0, 4),
        )
        | st.builds(
            lambda items, least: {"type": "array", "items": items, "minItems": least}, inner, st.integers(0, 3)
        )
        | st.builds(lambda options: {"anyOf": options}, st.lists(inner, min_size=1, max_size=3))
    ),
    max_leaves=20,
)


@settings(deadline=None)
@given(_SCHEMAS)
def test_whatever_is_nested_into_whatever_the_sample_is_valid(schema: dict[str, Any]) -> None:
    schema = {**schema, "$defs": {"word": {"type": "string", "minLength": 12}}}
    jsonschema.Draft202012Validator(schema).validate(sample(schema))


_WORDS = [
    "type",
    "properties",
    "items",
    "anyOf",
    "allOf",
    "$ref",
    "enum",
    "pattern",
    "minItems",
    "required",
    "minimum",
]
_NONSENSE = st.recursive(
    st.none() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_WORDS), inner, max_size=3),
)


@given(_NONSENSE)
def test_a_schema_that_is_none_is_no_crash(schema: Any) -> None:
    try:
        json.dumps(sample(schema))
    except NoSample:
        return


PATTERNS = [
    "^[a-z]+$",
    "^\\d{4}-\\d{2}-\\d{2}$",
    "^(foo|bar)baz$",
    "[A-Z]",
    "^a?b*c+$",
    "^(?:x{2,5}|y)z$",
    "\\w+@\\w+\\.com",
    "^[^a-z0-9]$",
    "^\\S+$",
    "^#[0-9a-fA-F]{6}$",
    "^.{8,}$",
    "^(?P<year>\\d+)$",
    "^\\+?[1-9]\\d{1,14}$",
    "a{0}b",
    "^$",
    "^[\\w.-]+$",
    "^[-+]?\\d+\\.\\d*?$",
    "\\bword\\b",
    "^[]x]$",
    "^\\/path\\/\\d+$",
    "^[\\]\\-]$",
]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_text_fits_its_pattern(pattern: str) -> None:
    assert re.search(pattern, matching(pattern, 0, 100))


@pytest.mark.parametrize(
    "pattern",
    [
        "(?=a)",
        "(a",
        "(a{50}){50}",
        "a{60}b{60}",
        "a{200}b",
        "a)",
        "[a",
        "\\",
        "(\\w)\\1",
        "a{9999999}",
        "(a{99}){99}",
        "[^\\w -~]",
        "\\p{L}",
    ],
)
def test_a_pattern_that_is_not_understood_is_said_to_be_none(pattern: str) -> None:
    with pytest.raises(NoSample):
        matching(pattern, 0, 100)


def test_a_pattern_is_stretched_to_the_length_that_is_asked_for() -> None:
    assert len(matching("^[a-f]+$", 64, 64)) == 64
    with pytest.raises(NoSample):
        matching("^ab$", 5, 10)
