"""Whether a value is what a client's schema says: in bounded time, without a look beyond the schema.

The schema is a client's and the value a model's, so neither may hold the router up. What could is not checked:
patterns, which a regular expression may match for hours, and keywords that ask a schema several times over. Nor is
anything by which a value could be wrong because a part of it is right, such as `not`: so a check is weaker than the
schema, and never stricter. References lead nowhere but into the schema itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from itertools import islice
from typing import Any

MOST_SCHEMA = 64 * 1024
"""Bytes of a schema that is checked against."""
MOST_STEPS = 20_000
"""Keywords that are looked at, about 5 µs each; a value that needs more is as good as valid."""

_LEAVES = 16  # errors beneath an error that are looked at
_UNCHECKED = (
    "pattern", "patternProperties", "format", "uniqueItems", "unevaluatedItems", "unevaluatedProperties", "not",
    "if", "contains",
)  # fmt: skip

Keyword = Callable[[Any, Any, Any, Any], Iterable[Any] | None]


class _TooMuch(Exception):
    """The steps are used up."""


class _Steps:
    """Stands where a validator keeps its checker of formats: it is handed on to the validators of all parts."""

    def __init__(self) -> None:
        self.left = MOST_STEPS

    def take(self, keyword: Any) -> None:
        self.left -= len(keyword) if isinstance(keyword, list) else 1
        if self.left < 0:
            raise _TooMuch


def breach(schema: Any, value: Any) -> str:
    """The keyword of a schema that a value breaks; "" if it breaks none, and where that cannot be told.

    A schema that is none, is too large, or refers to another one tells nothing.
    """
    from referencing import Registry

    from llmrouter.dialects.common import dumps

    try:
        plain = _plain(schema)
        if len(dumps(plain)) > MOST_SCHEMA:
            return ""
        validator = _validators()(plain, format_checker=_Steps(), registry=Registry())
        error = next(iter(validator.iter_errors(value)), None)
        if error is None:
            return ""
        _check({"allOf": [*islice(_leaves(error), _LEAVES)]})
    except Exception:  # whatever a schema that is none makes of the validator
        return ""
    return str(error.validator or "false")


@cache
def _validators() -> Any:
    """JSON Schema's validators with every keyword counted. They are made once: it takes a millisecond."""
    from jsonschema import Draft202012Validator, validators

    known: Mapping[str, Keyword] = Draft202012Validator.VALIDATORS
    counted = {name: _counted(keyword) for name, keyword in known.items() if name not in _UNCHECKED}
    counted["oneOf"] = counted["anyOf"]
    extend: Any = validators.extend
    return extend(Draft202012Validator, {**counted, **dict.fromkeys(_UNCHECKED, _passes)})


def _counted(keyword: Keyword) -> Keyword:
    def check(validator: Any, said: Any, instance: Any, schema: Any) -> Iterable[Any] | None:
        validator.format_checker.take(said)
        return keyword(validator, said, instance, schema)

    return check


def _passes(validator: Any, said: Any, instance: Any, schema: Any) -> None:
    return None


def _check(schema: Any) -> None:
    """Raises for what is no schema. Takes milliseconds, so that it is asked of keywords that were broken alone."""
    from jsonschema import Draft202012Validator

    checked: Any = Draft202012Validator
    checked.check_schema(schema, format_checker=None)


def _leaves(error: Any) -> Iterator[Any]:
    """What an error comes down to: the keywords that were broken, each a schema of its own."""
    for one in error.context or ():
        yield from _leaves(one)
    if not error.context:
        yield {error.validator: error.validator_value} if error.validator else False


def _plain(schema: Any) -> Any:
    """Without `$schema`, by which a part of a schema would choose a validator that counts nothing.

    And without what is said of properties beyond those that match a pattern, for none is matched.
    """
    if isinstance(schema, list):
        return [_plain(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    left_out = {"additionalProperties"} if isinstance(schema.get("patternProperties"), dict) else set()
    return {
        name: _plain(one)
        for name, one in schema.items()
        if name not in left_out and not (name == "$schema" and isinstance(one, str))
    }
