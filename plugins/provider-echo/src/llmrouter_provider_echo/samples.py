"""A value that is valid under a JSON Schema, always the same for the same schema, and never large."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from attrs import define

from .patterns import NoSample
from .scalars import amount, chosen, text

DEEP = 3
"""Below this depth only what is required is filled in, and the shortest alternative is taken."""
DEEPEST = 24
STEPS = 5_000


def sample(schema: Any, hint: str = "text") -> Any:
    """A value under `schema`. Raises NoSample; `hint` is what a free text says."""
    try:
        return _Sampler(schema).value(schema, 0, 0, hint)
    except (TypeError, AttributeError, ValueError, KeyError, OverflowError, RecursionError):
        raise NoSample("the schema is not a valid JSON Schema") from None


@define
class _Sampler:
    root: Any
    steps: int = 0

    def value(self, schema: Any, depth: int, number: int, hint: str) -> Any:
        """`number` tells the items of a list apart."""
        self.steps += 1
        if depth > DEEPEST or self.steps > STEPS or schema is False:
            raise NoSample("the schema allows no value that is small enough")
        if not isinstance(schema, Mapping):
            return hint
        if "$ref" in schema:
            rest = {key: one for key, one in schema.items() if key != "$ref"}
            return self.value(_merged(self.target(schema["$ref"]), rest), depth + 1, number, hint)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return chosen(schema["enum"], number)
        if "allOf" in schema:
            return self.value(self.together(schema), depth + 1, number, hint)
        for word in ("anyOf", "oneOf"):
            if word in schema:
                rest = {key: one for key, one in schema.items() if key != word}
                return self.first([_merged(one, rest) for one in schema[word]], depth, number, hint)
        return self.typed(schema, depth, number, hint)

    def target(self, reference: Any) -> Any:
        """What `#/$defs/x` leads to; other documents are not read."""
        found = self.root
        path = str(reference)
        if path != "#" and not path.startswith("#/"):
            raise NoSample(f"the reference {path} leads out of the schema")
        for step in path.split("/")[1:]:
            step = step.replace("~1", "/").replace("~0", "~")
            if not isinstance(found, Mapping) or step not in found:
                raise NoSample(f"the reference {path} leads nowhere")
            found = found[step]
        return found

    def together(self, schema: Mapping[str, Any]) -> Any:
        merged: Any = {key: one for key, one in schema.items() if key != "allOf"}
        for one in schema["allOf"]:
            while isinstance(one, Mapping) and "$ref" in one and self.steps < STEPS:
                self.steps += 1
                one = _merged(self.target(one["$ref"]), {key: it for key, it in one.items() if key != "$ref"})
            merged = _merged(merged, one)
        return merged

    def first(self, options: Sequence[Any], depth: int, number: int, hint: str) -> Any:
        """The first alternative that has a value; far down the plain ones are tried before the nested."""
        for option in sorted(options, key=_nests) if depth >= DEEP else options:
            try:
                return self.value(option, depth + 1, number, hint)
            except NoSample:
                continue
        raise NoSample("none of the alternatives has a value")

    def typed(self, schema: Mapping[str, Any], depth: int, number: int, hint: str) -> Any:
        kind = schema.get("type") or _implied(schema)
        if isinstance(kind, list):
            options = [{**schema, "type": one} for one in sorted(kind, key=lambda one: one == "null")]
            return self.first(options, depth, number, hint)
        match kind:
            case "object":
                return self.object(schema, depth, number)
            case "array":
                return self.array(schema, depth, hint)
        plain: Mapping[str, Callable[[], Any]] = {
            "string": lambda: text(schema, number, hint),
            "integer": lambda: int(amount(schema, number, whole=True)),
            "number": lambda: amount(schema, number),
            "boolean": lambda: number % 2 == 0,
            "null": lambda: None,
        }
        if kind not in plain:
            raise NoSample(f"there is no type {kind!r}")
        return plain[kind]()

    def object(self, schema: Mapping[str, Any], depth: int, number: int) -> Mapping[str, Any]:
        properties = schema.get("properties", {})
        required = list(schema.get("required", ()))
        found: dict[str, Any] = {}
        for name in [*properties, *(one for one in required if one not in properties)]:
            if name not in required and depth >= DEEP:
                continue
            try:
                found[name] = self.value(properties.get(name, True), depth + 1, number, name)
            except NoSample:
                if name in required:
                    raise
        return found

    def array(self, schema: Mapping[str, Any], depth: int, hint: str) -> Sequence[Any]:
        first = schema.get("prefixItems", ())
        least, most = schema.get("minItems", 0), schema.get("maxItems", math.inf)
        wanted = min(most, max(least, len(first), 1)) if depth < DEEP else least
        found: list[Any] = []
        while len(found) < wanted:
            place = len(found)
            item = first[place] if place < len(first) else schema.get("items", True)
            try:
                found.append(self.value(item, depth + 1, place, hint))
            except NoSample:
                if place < least:
                    raise
                break
        return found


def _merged(one: Any, other: Any) -> Any:
    """Both at once: their properties together, and of what both say the latter."""
    if not isinstance(one, Mapping) or not isinstance(other, Mapping):
        return False if one is False or other is False else other if isinstance(other, Mapping) else one
    merged = {**one, **other}
    if "properties" in one and "properties" in other:
        merged["properties"] = {**one["properties"], **other["properties"]}
    if "required" in one and "required" in other:
        merged["required"] = [*dict.fromkeys([*one["required"], *other["required"]])]
    if "allOf" in one and "allOf" in other:
        merged["allOf"] = [*one["allOf"], *other["allOf"]]
    return merged


def _nests(schema: Any) -> bool:
    return isinstance(schema, Mapping) and bool({"$ref", "properties", "items", "anyOf", "allOf"} & schema.keys())


def _implied(schema: Mapping[str, Any]) -> str:
    if {"properties", "required", "additionalProperties"} & schema.keys():
        return "object"
    if {"items", "prefixItems", "minItems"} & schema.keys():
        return "array"
    numeric = {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"}
    return "number" if numeric & schema.keys() else "string"
