"""What every upstream would refuse is refused at the door, naming the field."""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from types import NoneType
from typing import Annotated, Any, Generic, NoReturn, TypeVar, get_args, get_origin, get_type_hints

import msgspec

from llmrouter.errors import InvalidRequest
from llmrouter.types import Fields

from .common import get, join, loads

S = TypeVar("S", bound=msgspec.Struct)

Kinds = tuple[str, ...]

Name = Annotated[str, msgspec.Meta(min_length=1)]
Flag = bool | None
Number = int | float | None
Word = str | None
Object = dict[str, Any] | None
List = list[Any] | None
"""What a field of a typed body may be; null is as good as none."""

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


class Opened(Generic[S]):
    """Opens a body but for its large fields: all in one go, and each of the kind that the API gives it.

    `said` has the fields that are looked at, and those whose kind is known; `required` are looked for first.
    """

    def __init__(self, said: type[S], large: frozenset[str], required: Mapping[str, Kinds]) -> None:
        self._said, self._large, self._required = said, large, required
        self._decoder = msgspec.json.Decoder(said)
        self._kinds = _kinds_of(said)

    def __call__(self, fields: Fields) -> S:
        """Raises InvalidRequest that names the field at fault."""
        small = fields.copy()
        for name in self._large:
            if name in small:
                del small[name]
        try:
            return self._decoder.decode(join(small))
        except (ValueError, RecursionError):
            return self._one_by_one(fields, small)

    def _one_by_one(self, fields: Fields, small: Fields) -> S:
        for name, kinds in self._required.items():
            require(fields, name, *kinds)
        said = {name: get(fields, name) for name in small}
        check_kinds(said, self._kinds)
        return msgspec.convert(said, self._said)  # there was half a surrogate pair


def _kinds_of(said: type[msgspec.Struct]) -> Mapping[str, Kinds]:
    kinds: dict[str, Kinds] = {}
    for name, hint in get_type_hints(said).items():
        if hint is not Any:
            types = [get_origin(one) or one for one in get_args(hint) or (hint,) if one is not NoneType]
            kinds[name] = tuple(dict.fromkeys([_BY_TYPE[one] for one in types]))
    return kinds


def whole(value: Any, name: str, least: int, most: int | None = None) -> int | None:
    """A whole number (1.0 is one), or None where nothing is said. Raises InvalidRequest."""
    if value is None:
        return None
    said = value
    if type(value) is float and value.is_integer():
        value = int(value)
    if type(value) is not int:
        raise InvalidRequest(f"{name} must be a whole number", param=name, code="invalid_type")
    if value < least or (most is not None and value > most):
        span = f"at least {least}" if most is None else f"between {least} and {most}"
        raise InvalidRequest(f"{name} must be {span}, not {said}", param=name)
    return value


def _refuse(name: str, found: str, allowed: Kinds) -> NoReturn:
    message = f"{name} must be {' or '.join(allowed)}, not {found}"
    raise InvalidRequest(message, param=name, code="invalid_type")
