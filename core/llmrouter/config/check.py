"""What is wrong by the schema, said in our own words.

The library's messages hold the values they are about, so none of them is used.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from .document import Where, scalar
from .redact import beneath_secret, shown
from .report import Report, did_you_mean, listed
from .variables import Resolved

if TYPE_CHECKING:
    from jsonschema import ValidationError
    from jsonschema.protocols import Validator

_TYPES = {
    "object": "a mapping",
    "array": "a list",
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "null": "null",
}


def check(schema: Mapping[str, Any], resolved: Resolved, report: Report) -> None:
    """Report everything the schema does not allow. Values of variables become numbers where those are due."""
    import jsonschema

    validator: Validator = jsonschema.Draft202012Validator(schema)
    errors = list(_leaves(validator.iter_errors(resolved.value)))
    if _retyped(errors, resolved):
        errors = list(_leaves(validator.iter_errors(resolved.value)))
    for error in errors:
        if tuple(error.absolute_path) not in resolved.missing:
            _Telling(error, resolved, report).tell()
    for error in errors:
        _stand_in(error, validator, resolved)


def _retyped(errors: Iterable[ValidationError], resolved: Resolved) -> bool:
    """A variable is text, and `port: ${PORT}` wants a number: read such a text as YAML would."""
    changed = False
    for error in errors:
        where = tuple(error.absolute_path)
        if where and where in resolved.sources and isinstance(error.instance, str):
            value = scalar(error.instance)
            changed |= not isinstance(value, str) and _put(resolved.value, where, value)
    return changed


def _stand_in(error: ValidationError, validator: Validator, resolved: Resolved) -> None:
    """Where a variable is missing and its text is no such value, the default stands in, or any value."""
    where = tuple(error.absolute_path)
    parent = _at(resolved.value, where[:-1])
    if where not in resolved.missing or not isinstance(parent, dict) or where[-1] not in parent:
        return
    text = parent.pop(where[-1])
    if any(tuple(one.absolute_path) == where[:-1] for one in _leaves(validator.iter_errors(resolved.value))):
        parent[where[-1]] = {"number": 1, "integer": 1, "boolean": False}.get(str(error.validator_value), text)


def _at(value: Any, where: Where) -> Any:
    for part in where:
        value = value[part]
    return value


def _put(root: Any, where: Where, value: Any) -> bool:
    _at(root, where[:-1])[where[-1]] = value
    return True


def _leaves(errors: Iterable[ValidationError]) -> Iterator[ValidationError]:
    """The mistakes themselves: of alternatives, those of the one that was meant."""
    for error in errors:
        branches = _branches(error)
        meant = [branch for branch in branches if not any(not one.path and _is_type(one) for one in branch)]
        if error.validator == "anyOf" and meant:
            closest = min(meant, key=len)
            yield from _leaves(closest)
        else:
            yield error


def _branches(error: ValidationError) -> list[list[ValidationError]]:
    branches: dict[Any, list[ValidationError]] = {}
    for one in error.context or ():
        branches.setdefault(one.schema_path[0], []).append(one)
    return list(branches.values())


def _is_type(error: ValidationError) -> bool:
    if error.validator != "anyOf":
        return error.validator == "type"
    return all(any(not one.path and _is_type(one) for one in branch) for branch in _branches(error))


class _Telling:
    """One mistake, and how it is told."""

    def __init__(self, error: ValidationError, resolved: Resolved, report: Report) -> None:
        self.instance: Any = error.instance
        self.error = error
        self.schema: Mapping[str, Any] = error.schema if isinstance(error.schema, Mapping) else {}
        self.limit: Any = error.validator_value
        self.where: Where = tuple(error.absolute_path)
        self.resolved = resolved
        self.report = report

    def tell(self) -> None:
        several = {
            "additionalProperties": self.unknown_keys,
            "required": self.missing_keys,
            "dependentRequired": self.missing_companions,
        }
        if "propertyNames" in self.error.absolute_schema_path:
            self.report.error((*self.where, self.instance), f"must be {_named(self.schema)}", key=True)
        elif tell := several.get(str(self.error.validator)):
            tell()
        else:
            self.report.error(self.where, self.message() + self.value(), key=self.error.validator == "not")

    def value(self) -> str:
        """`, not "abc"`: only where that is nobody's secret."""
        if self.where in self.resolved.sources:
            return f", and what {self.resolved.sources[self.where]} gives is not"
        if self.error.validator in (None, "not", "minItems", "minProperties", "minLength", "uniqueItems", "oneOf"):
            return ""
        if beneath_secret(self.where) or self.schema.get("writeOnly"):
            return ""
        suggestion = did_you_mean(self.instance, self.limit) if self.error.validator == "enum" else ""
        return f", not {shown(self.instance)}.{suggestion}"

    def message(self) -> str:
        name = str(self.error.validator)
        simple = {
            "minimum": f"must be at least {self.limit}",
            "maximum": f"must be at most {self.limit}",
            "exclusiveMinimum": f"must be more than {self.limit}",
            "exclusiveMaximum": f"must be less than {self.limit}",
            **dict.fromkeys(("minItems", "minProperties", "minLength"), _least(self.limit)),
            "uniqueItems": "names something twice",
            **dict.fromkeys(("not", "None"), "is not allowed here"),
        }
        if name in simple:
            return simple[name]
        if name == "oneOf" and all("required" in one for one in self.limit):
            return f"needs exactly one of {listed([one['required'][0] for one in self.limit])}"
        return f"must be {self.wanted(name)}"

    def wanted(self, validator: str) -> str:
        if validator == "anyOf":
            return listed([*dict.fromkeys(_named(branch) for branch in _failed(self.error))])
        if validator in ("type", "pattern", "enum", "const") and "title" in self.schema:
            return _named(self.schema)
        if validator == "type":
            return _named({"type": self.limit})
        if validator in ("enum", "const"):
            return listed([str(one) for one in (self.limit if validator == "enum" else [self.limit])])
        return f"as the schema says: {validator} {shown(self.limit)}"

    def unknown_keys(self) -> None:
        known = self.schema.get("properties", {})
        for key in self.instance:
            if key not in known:
                allowed = did_you_mean(key, known) or f" Known here: {', '.join(sorted(known)) or 'none'}."
                self.report.error((*self.where, key), f"unknown key.{allowed}", key=True)

    def missing_keys(self) -> None:
        for key in self.limit:
            if key not in self.instance:
                self.report.error(self.where, f"the key “{key}” is missing")

    def missing_companions(self) -> None:
        for key, companions in self.limit.items():
            missing = [one for one in companions if one not in self.instance]
            if key in self.instance and missing:
                self.report.error(self.where, f"“{key}” needs “{missing[0]}” beside it")


def _least(count: Any) -> str:
    return "may not be empty" if count == 1 else f"must have at least {count} elements"


def _failed(error: ValidationError) -> Iterator[Mapping[str, Any]]:
    """The alternatives' own schemas, through their references."""
    for branch in _branches(error):
        first = branch[0]
        if first.validator == "anyOf" and not first.path:
            yield from _failed(first)
        elif isinstance(first.schema, Mapping):
            yield first.schema


def _named(schema: Mapping[str, Any]) -> str:
    """`a duration with its unit, such as 30s or 15m`."""
    examples = schema.get("examples", ())
    such = f", such as {listed([str(one) for one in examples])}" if examples else ""
    types = schema.get("type", [])
    names = [_TYPES[one] for one in ([types] if isinstance(types, str) else types)]
    return f"{schema.get('title') or listed(names) or 'something else'}{such}"
