"""The JSON Schema of a configuration: the core's, put together with the fragments of plugins.

Each plugin's entry gets a schema of its own, chosen by `if plugin is … then …` and not by `oneOf`: so every
mistake has its own path, and editors offer the plugin's own keys.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from llmrouter.errors import PluginError
from llmrouter.plugins import Plugins
from llmrouter.protocols import PluginType

KINDS = ("provider", "policy", "quota", "cache", "metrics")
"""Kinds of plugins that have an entry in the configuration."""

Schema = Mapping[str, Any]
_ROOT = "#/$defs/"


def core_schema() -> dict[str, Any]:
    """The core's own schema of a configuration."""
    return schema_file("config.schema.json")


def schema_file(name: str) -> dict[str, Any]:
    """One of the core's schemas: beside the package in a wheel, beside `core/` in a checkout."""
    package = Path(__file__).parents[1]
    for folder in (package / "schemas", package.parents[1] / "schemas"):
        if (path := folder / name).is_file():
            schema: dict[str, Any] = json.loads(path.read_text("utf-8"))
            return schema
    raise PluginError(f"{name} is missing: install llmrouter again")


def compose(core: Schema, types: Iterable[tuple[str, PluginType]]) -> dict[str, Any]:
    """The schema for a configuration that names these plugins. Raises PluginError for a bad fragment."""
    schema = copy.deepcopy(dict(core))
    by_kind: dict[str, list[PluginType]] = {kind: [] for kind in KINDS}
    for kind, type_ in types:
        by_kind[kind].append(type_)
    for kind, found in by_kind.items():
        found.sort(key=lambda type_: type_.name)
        schema["$defs"][f"{kind}_entry"] = _dispatch(kind, core["$defs"][kind], [one.name for one in found])
        for type_ in found:
            schema["$defs"].update(_definitions(kind, core, type_))
    return schema


def compose_installed(plugins: Plugins) -> tuple[dict[str, Any], list[str]]:
    """The schema with the keys of every plugin there is, and what is wrong with those left out."""
    core, types, broken = core_schema(), [], []
    for kind in KINDS:
        for name in plugins.names(kind):
            try:
                type_ = plugins.get(kind, name)
                compose(core, [(kind, type_)])
            except PluginError as error:
                broken.append(str(error))
            else:
                types.append((kind, type_))
    return compose(core, types), broken


def _dispatch(kind: str, core: Schema, names: list[str]) -> dict[str, Any]:
    default = core["properties"]["plugin"].get("default")

    def when(condition: Mapping[str, Any], absent: bool) -> dict[str, Any]:
        required = {} if absent else {"required": ["plugin"]}
        return {"properties": {"plugin": condition}, **required}

    chosen = [
        {"if": when({"const": name}, name == default), "then": {"$ref": f"{_ROOT}{kind}-{name}"}} for name in names
    ]
    other = {"if": when({"enum": names}, default in names), "else": {"$ref": f"{_ROOT}{kind}"}}
    return {
        "description": core["description"],
        "type": "object",
        "properties": {"plugin": {**core["properties"]["plugin"], "examples": names}},
        "allOf": [*chosen, other],
    }


def _definitions(kind: str, core: Schema, type_: PluginType) -> dict[str, Any]:
    """The closed schema of one plugin's entry, and the fragment's own definitions under new names."""
    name = f"{kind}-{type_.name}"
    _check(name, type_.schema)
    own = dict(type_.schema.get("$defs", {}))
    fragment = {key: value for key, value in type_.schema.items() if key not in ("$defs", "$schema", "$id")}
    known = {*core["$defs"], *own}
    moved = {f"{name}.{key}": _moved(value, name, own, known) for key, value in own.items()}
    entry = _moved(fragment, name, own, known)
    common = {key: {"$ref": f"{_ROOT}{kind}/properties/{key}"} for key in core["$defs"][kind]["properties"]}
    properties = {key: _marked(key, value, type_) for key, value in entry.get("properties", {}).items()}
    required = [*core["$defs"][kind].get("required", ()), *entry.get("required", ())]
    entry |= {"properties": {**common, **properties, "plugin": common["plugin"]}, "additionalProperties": False}
    return {name: entry | ({"required": required} if required else {}), **moved}


def _check(name: str, fragment: Schema) -> None:
    import jsonschema

    try:
        jsonschema.Draft202012Validator.check_schema(fragment)
    except jsonschema.SchemaError as error:
        raise PluginError(f"the schema of plugin {name} is not valid: {error.message}") from None
    if fragment.get("type") != "object":
        raise PluginError(f"the schema of plugin {name} must be an object schema")


def _moved(value: Any, name: str, own: Mapping[str, Any], known: set[str]) -> Any:
    """The same schema with `#/$defs/x` leading to where x is now; x may also be the core's."""
    if isinstance(value, list):
        return [_moved(one, name, own, known) for one in value]
    if not isinstance(value, Mapping):
        return value
    moved = {key: _moved(one, name, own, known) for key, one in value.items()}
    if isinstance(reference := moved.get("$ref"), str):
        target = reference.removeprefix(_ROOT).split("/")[0]
        if not reference.startswith(_ROOT) or target not in known:
            raise PluginError(f"the schema of plugin {name} refers to {reference}, which is not there")
        moved["$ref"] = reference.replace(_ROOT, f"{_ROOT}{name}.") if target in own else reference
    return moved


def _marked(key: str, schema: Any, type_: PluginType) -> Any:
    """A key whose field in the plugin's class is a `Secret` is one in the schema too."""
    import attrs

    field = next((one for one in attrs.fields(type_.config) if one.name == key), None)
    if field is None or "Secret" not in str(field.type) or not isinstance(schema, dict):
        return schema
    return {**schema, "writeOnly": True}
