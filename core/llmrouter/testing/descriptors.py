"""What every plugin descriptor has to be, whatever its kind."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import attrs
import jsonschema

from llmrouter.protocols import PluginType


def check_descriptor(type_: PluginType) -> None:
    """Assert that the configuration can name this plugin, check its keys and build its class from them."""
    assert re.fullmatch(r"[a-z][a-z0-9-]*", type_.name), f"{type_.name!r} is not a name for a configuration"
    assert attrs.has(type_.config), "`config` is an attrs class"
    assert callable(type_.build)
    check_schema(type_.schema)
    keys = set(type_.schema["properties"])
    fields = {one.name for one in attrs.fields(type_.config)}
    assert keys <= fields, f"the schema has keys that the class does not take: {sorted(keys - fields)}"


def check_schema(schema: Mapping[str, Any]) -> None:
    """Assert that a fragment is a valid object schema and says of every key what it means."""
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["type"] == "object"
    assert "plugin" not in schema["properties"], "the key `plugin` is the core's"
    silent = [path for path, key in _keys(schema) if not key.get("description") and "$ref" not in key]
    assert not silent, f"keys without a description: {silent}"


def _keys(schema: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name, key in schema.get("properties", {}).items():
        yield f"{path}{name}", key
        yield from _keys(key, f"{path}{name}.")
