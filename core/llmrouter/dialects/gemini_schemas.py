"""Schemas as Google's older fields have them (a subset of OpenAPI) → JSON Schema.

What is written goes into `parametersJsonSchema` and `responseJsonSchema`, which take JSON Schema as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_COUNTS = ("minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties")
"""64-bit whole numbers, which protocol buffers write as texts."""
_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
_HINTS = frozenset({"propertyOrdering"})


def json_schema(schema: Any) -> Any:
    """Types in lower case, `nullable` as one more type, counts as numbers; all else as it stands."""
    if not isinstance(schema, Mapping):
        return schema
    found = {name: _value(name, one) for name, one in schema.items() if name not in _HINTS}
    if found.pop("nullable", False) is True and isinstance(found.get("type"), str):
        found["type"] = [found["type"], "null"]
    if found.get("type") == "type_unspecified":
        del found["type"]
    return found


def _value(name: str, value: Any) -> Any:
    if name == "type" and isinstance(value, str):
        return value.lower()
    if name == "properties" and isinstance(value, Mapping):
        return {key: json_schema(one) for key, one in value.items()}
    if name in _LISTS and isinstance(value, list):
        return [json_schema(one) for one in value]
    if name in _COUNTS and isinstance(value, str) and value.isdecimal():
        return int(value)
    return json_schema(value) if name == "items" else value
