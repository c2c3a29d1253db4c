"""What every upstream would refuse is refused at the door, naming the field."""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from types import NoneType
from typing import Any, NoReturn

import msgspec

from llmrouter.errors import InvalidRequest
from llmrouter.types import Fields

from .common import get, join, loads

Kinds = tuple[str, ...]

_BY_TYPE: Mapping[type, str] = {
    str: "string",
    int: "number",
    float: "number",
    bool: "boolean",
    NoneType: "null",
    dict: "object",
    list: "array",
}
_BY_FIRST_BYTE: Mapping[int, str] = {
    ord('"'): "string",
    ord("{"): "object",
    ord("["): "array",
    ord("t"): "boolean",
    ord("f"): "boolean",
    ord("n"): "null",
}
first_byte = struct.Struct("B").unpack_from
"""A byte of a value: `first_byte(value)[0]`, the first if no place is said. It costs less than a view."""
_NULL = msgspec.Raw(b"null")
_BLANK = re.compile(rb'""|\[\s*\]')
_MAY_BE_BLANK = frozenset(b'"] \t\r\n')
"""What stands second in a blank value: the pattern is asked where it may match."""


def kind(value: msgspec.Raw) -> str:
    """The JSON kind of a value, told by its first byte: string, number, boolean, null, object or array."""
    return _BY_FIRST_BYTE.get(first_byte(value)[0], "number")


def values(fields: Fields, but: frozenset[str]) -> dict[str, Any]:
    """All fields decoded in one go, `but` the large ones. Raises InvalidRequest."""
    small = fields.copy()
    for name in but:
        if name in small:
            del small[name]
    try:
        said: dict[str, Any] = loads(join(small))
    except ValueError:
        said = {name: get(fields, name) for name in small}  # names the one at fault
    return said


def check_kinds(said: Mapping[str, Any], kinds: Mapping[str, Kinds]) -> None:
    """Raises InvalidRequest for the first value of another kind than the API gives it; null is as good as none."""
    for name, value in said.items():
        if value is not None and name in kinds and (found := _BY_TYPE[type(value)]) not in kinds[name]:
            _refuse(name, found, kinds[name])


def require(fields: Fields, name: str, *kinds: str) -> None:
    """Raises InvalidRequest unless the field is there, of one of these kinds (not a number), and not empty."""
    value = fields.get(name, _NULL)
    found = _BY_FIRST_BYTE.get(first_byte(value)[0], "number")
    if found == "null":
        raise InvalidRequest(f"{name} is missing", param=name, code="missing_required_parameter")
    if found not in kinds:
        _refuse(name, found, kinds)
    if first_byte(value, 1)[0] in _MAY_BE_BLANK and _BLANK.fullmatch(value):
        raise InvalidRequest(f"{name} is empty", param=name)


def whole(said: Mapping[str, Any], name: str, least: int, most: int | None = None) -> int | None:
    """A whole number (1.0 is one), or None where nothing is said. Raises InvalidRequest."""
    value = said.get(name)
    if value is None:
        return None
    if type(value) is float and value.is_integer():
        value = int(value)
    if type(value) is not int:
        raise InvalidRequest(f"{name} must be a whole number", param=name, code="invalid_type")
    if value < least or (most is not None and value > most):
        span = f"at least {least}" if most is None else f"between {least} and {most}"
        raise InvalidRequest(f"{name} must be {span}, not {said[name]}", param=name)
    return value


def _refuse(name: str, found: str, allowed: Kinds) -> NoReturn:
    message = f"{name} must be {' or '.join(allowed)}, not {found}"
    raise InvalidRequest(message, param=name, code="invalid_type")
