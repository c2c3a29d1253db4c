"""The configuration as it takes effect: defaults filled in, secrets left out."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from attrs import define

from .document import Where
from .profiles import profiled
from .redact import HIDDEN, names_secret, scrubbed

if TYPE_CHECKING:
    from jsonschema.protocols import Validator

    from .loading import Reading


_NONE = object()


def effective(reading: Reading, *, whole: bool = True) -> dict[str, Any]:
    """The configuration as a document, its profile and every default in it; else what is written, and no more.

    A variable stands there by its name.
    """
    written = {where: _written(reading.document.value, where) for where in reading.resolved.sources}
    return _filled(reading, written, whole)


def revision(reading: Reading) -> str:
    """A short hash of what takes effect, secrets left out."""
    text = json.dumps(_filled(reading, {}), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def dump(document: Mapping[str, Any]) -> str:
    """A document as YAML that means the same to every version of YAML."""
    import yaml

    class Dumper(yaml.SafeDumper):
        """Text that YAML 1.2 reads as a number is put in quotes too; 1.1's is already."""

        def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
            super().increase_indent(flow, False)

    number = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$|0o[0-7]+$")
    Dumper.add_implicit_resolver("tag:yaml.org,2002:float", number, list("-+.0123456789"))
    text: str = yaml.dump(document, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=100)
    return text


def _filled(reading: Reading, written: Mapping[Where, str], whole: bool = True) -> dict[str, Any]:
    import jsonschema

    validator: Validator = jsonschema.Draft202012Validator(reading.schema)
    filler = _Filler(reading.schema, validator, written, reading.report.secrets, whole)
    value = profiled(reading.resolved.value) if whole else reading.resolved.value
    filled: dict[str, Any] = filler.value(value, reading.schema, ())
    return filled


def _written(document: Any, where: Where) -> str:
    for part in where:
        document = document[part]
    return re.sub(r":-[^}]*}", f":-{HIDDEN}}}", str(document))


@define
class _Filler:
    """Walks a document and its schema together."""

    root: Mapping[str, Any]
    validator: Validator
    written: Mapping[Where, str]
    secrets: set[str]
    defaults: bool

    def value(self, value: Any, schema: Mapping[str, Any], where: Where) -> Any:
        schemas = list(self.applicable(schema, value))
        if value is not None and (_leaf_secret(where) or any(one.get("writeOnly") for one in schemas)):
            return HIDDEN
        if where in self.written:
            return self.written[where]
        if isinstance(value, Mapping):
            return self.mapping(value, schemas, where)
        if isinstance(value, list | tuple):
            of: Mapping[str, Any] = next((one["items"] for one in schemas if "items" in one), {})
            return [self.value(one, of, (*where, index)) for index, one in enumerate(value)]
        return scrubbed(value, self.secrets) if isinstance(value, str) else value

    def mapping(self, value: Mapping[str, Any], schemas: list[Mapping[str, Any]], where: Where) -> dict[str, Any]:
        known = {key: one for schema in schemas for key, one in schema.get("properties", {}).items()}
        others: Any = next((one["additionalProperties"] for one in schemas if "additionalProperties" in one), {})
        absent = {key: self.default(one) for key, one in known.items() if self.defaults and key not in value}
        defaults = {key: one for key, one in absent.items() if one is not _NONE}
        return {
            key: self.value(one, known.get(key) or others, (*where, key))
            for key, one in {**value, **defaults}.items()
        }

    def applicable(self, schema: Mapping[str, Any], value: Any) -> Iterator[Mapping[str, Any]]:
        """The schemas that speak of a value: through references, and of alternatives the fitting ones."""
        yield schema
        if "$ref" in schema:
            yield from self.applicable(self.target(schema), value)
        for one in schema.get("allOf", ()):
            fits = self.fits(one.get("if", True), value)
            yield from self.applicable(one.get("then" if fits else "else", {}), value)
        for one in schema.get("anyOf", ()):
            if self.fits(one, value):
                yield from self.applicable(one, value)

    def default(self, schema: Mapping[str, Any]) -> Any:
        if "default" in schema or "$ref" not in schema:
            return schema.get("default", _NONE)
        return self.default(self.target(schema))

    def target(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        found: Any = self.root
        for part in schema["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        return found if isinstance(found, Mapping) else {}

    def fits(self, schema: Any, value: Any) -> bool:
        return bool(self.validator.evolve(schema=schema).is_valid(value))


def _leaf_secret(where: Where) -> bool:
    """The last word of a path decides, and `keys` that hold mappings are no secret themselves."""
    return names_secret(where) and where[-1] != "keys"
