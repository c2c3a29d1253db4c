"""Values of a body by their places, and what is left there that a conversation cannot say: its `extra`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from llmrouter.errors import InvalidRequest

_INDEX = re.compile(r"\[\d*\]")


def each(wire: Any, place: str) -> Iterator[tuple[str, Any]]:
    """The members of a list with their places. Raises InvalidRequest for what is no list; null is an empty one."""
    if wire is not None and not isinstance(wire, list):
        raise _not("array", place)
    return ((f"{place}[{at}]", one) for at, one in enumerate(wire or ()))


def as_object(value: Any, place: str) -> Mapping[str, Any]:
    """Raises InvalidRequest for what is no object."""
    if not isinstance(value, dict):
        raise _not("object", place)
    return value


def text_of(value: Any, place: str) -> str:
    """Raises InvalidRequest for what is no text."""
    if not isinstance(value, str):
        raise _not("string", place)
    return value


def leave(wire: Mapping[str, Any], read: Iterable[str], place: str, extra: dict[str, Any]) -> None:
    """Put what was not read into `extra`."""
    for name, value in wire.items():
        if name not in read and value is not None:
            extra[f"{place}.{name}"] = value


def own_extra(options: Mapping[str, Any], family: str, dropped: list[str]) -> Iterator[tuple[str, Any]]:
    """What a request of this family left over, by its place, as far as that is no member of a list.

    The names of all other leftovers go into `dropped`, without the numbers of their place.
    """
    own = options.get("extra_of") == family
    for place, value in options.get("extra", {}).items():
        if own and "[" not in place:
            yield place, value
        else:
            dropped.append(_INDEX.sub("", place))


def _not(kind: str, place: str) -> InvalidRequest:
    return InvalidRequest(f"{place} must be {kind}", param=place, code="invalid_type")
