"""Texts and numbers that a JSON Schema allows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from .patterns import NoSample, matching

LONGEST = 2_000
"""Characters; a schema that demands more gets no sample."""

FORMATS: Mapping[str, str] = {
    "date-time": "2025-01-31T12:00:00Z",
    "date": "2025-01-31",
    "time": "12:00:00Z",
    "duration": "P1D",
    "email": "someone@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com/",
    "uri-reference": "/path",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "json-pointer": "/a",
    "regex": "^a$",
}


def chosen(values: Any, number: int) -> Any:
    if not values:
        raise NoSample("an empty list of values")
    return values[number % len(values)]


def text(schema: Mapping[str, Any], number: int, hint: str) -> str:
    """`hint`, or what pattern or format ask for, as long as it may be."""
    least, most = schema.get("minLength", 0), min(schema.get("maxLength", LONGEST), LONGEST)
    if least > most:
        raise NoSample(f"no text of {least} characters is written")
    if pattern := schema.get("pattern"):
        return matching(pattern, least, most)
    if form := FORMATS.get(schema.get("format", "")):
        return form
    free = f"{hint} {number + 1}" if number else hint
    return f"{free}{'.' * (least - len(free))}"[:most]


def amount(schema: Mapping[str, Any], number: int, whole: bool = False) -> float:
    """A number between the bounds and on the grid of `multipleOf`; `number` counts through the grid."""
    low: float = max(schema.get("minimum", -math.inf), schema.get("exclusiveMinimum", -math.inf))
    high: float = min(schema.get("maximum", math.inf), schema.get("exclusiveMaximum", math.inf))
    step = _step(schema.get("multipleOf", 1), whole)

    def fits(value: float) -> bool:
        inside = low <= value <= high
        return inside and value != schema.get("exclusiveMinimum") and value != schema.get("exclusiveMaximum")

    for place in [1 + number, *_near(low, high, step, number)]:
        if fits(place * step):
            return place * step
    if not whole and "multipleOf" not in schema and fits(between := (low + high) / 2):
        return between
    raise NoSample("no number lies between the bounds")


def _step(multiple: float, whole: bool) -> float:
    if multiple <= 0:
        raise NoSample("multipleOf must be more than zero")
    return 1 if whole and (1 / multiple).is_integer() else multiple


def _near(low: float, high: float, step: float, number: int) -> list[int]:
    """Places on the grid beside the bound there is."""
    if low > -math.inf:
        first = math.ceil(low / step)
        return [first + number, first + number + 1, first, first + 1]
    if high < math.inf:
        last = math.floor(high / step)
        return [last - number, last - number - 1, last, last - 1]
    return []
