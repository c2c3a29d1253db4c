"""JSON Schemas as Messages takes them.

The input of a tool is an object. Where an answer is bound to a schema (`output_config.format`, strict tools)
objects are closed, alternatives are `anyOf`, and constraints on values are not known: the description says them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .common import dumps

OPEN: Mapping[str, Any] = {"type": "object", "properties": {}}

_CONSTRAINTS = (
    "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength", "pattern",
    "minItems", "maxItems", "uniqueItems", "minProperties", "maxProperties",
)  # fmt: skip
_NAMED = ("properties", "$defs", "definitions")
_LISTED = ("anyOf", "allOf", "oneOf")


def input_schema(schema: Any) -> dict[str, Any]:
    """Any schema as that of an object."""
    if not isinstance(schema, dict) or not schema:
        return dict(OPEN)
    return schema if schema.get("type") == "object" else {**schema, "type": "object"}


def bound(schema: Any) -> Any:
    """A schema as an answer can be bound to it. Raises RecursionError for one that is nested too deeply."""
    if not isinstance(schema, dict):
        return schema
    found = {name: _inside(name, value) for name, value in schema.items() if name not in _CONSTRAINTS}
    if "oneOf" in found:
        found["anyOf"] = [*found.get("anyOf", ()), *found.pop("oneOf")]
    if found.get("type") == "object" or "properties" in found:
        found["additionalProperties"] = False
    if lost := {name: schema[name] for name in _CONSTRAINTS if name in schema}:
        said = ", ".join([f"{name}: {dumps(value).decode()}" for name, value in lost.items()])
        found["description"] = f"{found['description']} ({said})" if found.get("description") else said
    return found


def _inside(name: str, value: Any) -> Any:
    if name in _NAMED and isinstance(value, dict):
        return {key: bound(one) for key, one in value.items()}
    if name in _LISTED and isinstance(value, list):
        return [bound(one) for one in value]
    return bound(value) if name == "items" else value
