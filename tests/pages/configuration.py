"""docs/reference/configuration.md: every key of the configuration, out of the schema and the plugins' fragments."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

from attrs import define, field

from llmrouter.config.schema import KINDS, core_schema
from llmrouter.plugins import Plugins

from .markdown import GENERATED, cell, table

HEAD = f"""# Configuration

{GENERATED}

One YAML file: `llmrouter serve --config`, else `$LLMROUTER_CONFIG`, `./llmrouter.yaml`, or
`~/.config/llmrouter/config.yaml`. `llmrouter config check` tells everything that is wrong with it at once,
`llmrouter config show` prints it with every default filled in, `llmrouter config schema` prints the JSON Schema
that editors complete and check by. [An example with a little of everything](llmrouter.example.yaml).

`${{NAME}}` is a variable of the environment or of a `.env` beside the file; `"${{NAME:-text}}"` has a default.
Inside `{{…}}` it has to be quoted. A secret may also be read from a file: `file:/run/secrets/key`.
"""
WORDS = {
    "object": "mapping",
    "array": "list",
    "string": "text",
    "integer": "whole number",
    "boolean": "`true`, `false`",
    "null": "`null`",
}
ENTRIES = {
    "provider": "providers.<name>",
    "policy": "routing.policy",
    "quota": "quota",
    "cache": "cache",
    "metrics": "metrics[]",
}
"""Where the keys of a plugin stand, by its kind."""

Schema = Mapping[str, Any]


@define
class Section:
    """The keys of one mapping of the configuration."""

    path: str
    about: str
    keys: Mapping[str, Schema]
    required: frozenset[str] = frozenset()


@define
class Walk:
    """Finds every mapping with keys of its own: the nearest to the top first, each definition once."""

    definitions: Mapping[str, Schema]
    named: dict[str, str] = field(factory=dict)
    """Where a definition was met first."""

    def sections(self, schema: Schema, path: str = "") -> Iterator[Section]:
        waiting = deque([(path, schema)])
        while waiting:
            path, schema = waiting.popleft()
            if name := reference(schema):
                if name in self.named:
                    continue
                self.named[name] = path
                schema = self.definitions[name]
            if keys := schema.get("properties", {}):
                about = schema.get("description") or f"`{schema.get('title', '')}`"
                yield Section(path, about, keys, frozenset(schema.get("required", ())))
            waiting += below(schema, path)

    def type(self, key: Schema, path: str) -> str:
        """What may be written: `list of [limit](#…)`."""
        name = reference(key)
        found = {**self.definitions.get(name, {}), **key}
        if found.get("properties"):
            words = name.replace("_", " ") or "mapping"
            return f"[{words}](#{anchor(self.named.get(name, path))})"
        if "anyOf" in found:
            return " or ".join(dict.fromkeys(self.type(one, path) for one in found["anyOf"]))
        if "title" in found:
            return str(found["title"])
        if "enum" in found:
            return ", ".join(f"`{one}`" for one in found["enum"])
        return self._plain(found, path)

    def _plain(self, key: Schema, path: str) -> str:
        types = key.get("type", "object")
        if types == "array":
            return f"list of {self.type(key['items'], path)}"
        more = key.get("additionalProperties")
        if types == "object" and isinstance(more, Mapping):
            return f"mapping of names to {self.type(more, f'{path}.<name>')}"
        names = [types] if isinstance(types, str) else types
        return " or ".join(WORDS.get(one, one) for one in names) + bounds(key)

    def about(self, key: Schema) -> str:
        """What a key means: its own words, else those of its definition."""
        found = key if "description" in key else self.definitions.get(reference(key), key)
        return str(found.get("description", ""))


def reference(key: Schema) -> str:
    """The name of the definition that a key leads to; that of an entry is its kind's."""
    return str(key.get("$ref", "")).removeprefix("#/$defs/").removesuffix("_entry")


def below(schema: Schema, path: str) -> Iterator[tuple[str, Schema]]:
    """What may have keys of its own inside a schema."""
    for one in schema.get("anyOf", ()):
        yield path, one
    if isinstance(more := schema.get("additionalProperties"), Mapping):
        yield f"{path}.<name>", more
    if isinstance(items := schema.get("items"), Mapping):
        yield f"{path}[]", items
    for name, key in schema.get("properties", {}).items():
        yield f"{path}.{name}".removeprefix("."), key


def bounds(key: Schema) -> str:
    said = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    return "".join(f", {sign} {key[name]}" for name, sign in said.items() if name in key)


def page(plugins: Plugins) -> str:
    core = core_schema()
    walk = Walk(core["$defs"])
    top = list(core["properties"])
    sections = sorted(walk.sections(core), key=lambda one: top.index(_first(one.path)) if one.path else -1)
    parts = [HEAD, *(section(one, walk) for one in sections)]
    parts.append("## Keys of plugins\n\nBeside those above, an entry has the keys of the plugin that it names.\n")
    for kind in KINDS:
        for name in plugins.names(kind):
            schema = plugins.get(kind, name).schema
            if schema.get("properties"):
                own = Walk({**core["$defs"], **schema.get("$defs", {})}, dict(walk.named))
                parts.append(_of_plugin(kind, name, schema, own))
    return "\n".join(parts)


def _first(path: str) -> str:
    return path.split(".")[0].removesuffix("[]")


def section(section: Section, walk: Walk) -> str:
    title = f"`{section.path}`" if section.path else "The file"
    return f"## {title}\n\n{section.about}\n\n{_rows(section, walk)}"


def _of_plugin(kind: str, name: str, schema: Schema, walk: Walk) -> str:
    first, *rest = walk.sections(schema, ENTRIES[kind])
    parts = [f"### {kind} `{name}`\n\nIn `{first.path}`:\n\n{_rows(first, walk)}"]
    return "\n".join([*parts, *(f"#### `{one.path}`\n\n{_rows(one, walk)}" for one in rest)])


def _rows(section: Section, walk: Walk) -> str:
    rows = []
    for key, schema in section.keys.items():
        default = "required" if key in section.required else _default(schema)
        type_ = walk.type(schema, f"{section.path}.{key}")
        rows.append((f"`{key}`", cell(type_), default, cell(walk.about(schema))))
    return table(("key", "type", "default", "meaning"), rows)


def _default(schema: Schema) -> str:
    if schema.get("default", "") in ({}, [], ""):
        return ""
    value = schema["default"]
    return f"`{value if isinstance(value, str) else json.dumps(value)}`"


def anchor(path: str) -> str:
    """How a heading with this path is linked to."""
    return "".join(one for one in path.lower() if one.isalnum() or one in "-_")
