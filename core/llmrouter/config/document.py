"""YAML to plain values, each with its place in the file.

YAML 1.2 as its core schema has it: `22:00`, `on` and `2026-01-01` are text, `012` is twelve. The parser's
events are put together here, so that depth and size are bounded whatever the file holds: aliases that
multiply, and nesting that would overrun the stack of the C parser's own composer.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

import yaml
from attrs import define, field, frozen

from llmrouter.errors import ConfigError, Problem

Where = tuple[str | int, ...]
"""The path of a value: ("providers", "google", "accounts", 0)."""

MAX_NODES = 100_000
MAX_DEPTH = 50

_NULL = re.compile(r"|~|null|Null|NULL")
_BOOL = re.compile(r"true|True|TRUE|false|False|FALSE")
_INT = re.compile(r"[-+]?[0-9]{1,400}|0o[0-7]{1,400}|0x[0-9a-fA-F]{1,400}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_CORE_TAG = re.compile(r"tag:yaml\.org,2002:(null|bool|int|float|seq|map)|!")
_TEXT_TAG = "tag:yaml.org,2002:str"


@frozen
class Mark:
    """A place in a file; both count from 1."""

    line: int
    column: int


@frozen
class Document:
    """A configuration as it was written. `folder` is where its relative paths begin."""

    value: Any
    file: str
    folder: Path
    keys: Mapping[Where, Mark] = field(factory=dict)
    values: Mapping[Where, Mark] = field(factory=dict)
    problems: tuple[Problem, ...] = ()

    def mark(self, where: Where, key: bool = False) -> Mark | None:
        """Where a value (or its key) stands; for what is not in the file, what it would be in."""
        if key and where in self.keys:
            return self.keys[where]
        while where and where not in self.values:
            where = where[:-1]
        return self.values.get(where)


def scalar(text: str) -> str | int | float | bool | None:
    """What an unquoted word of YAML means."""
    if _NULL.fullmatch(text):
        return None
    if _BOOL.fullmatch(text):
        return text.lower() == "true"
    if _INT.fullmatch(text):
        return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))
    if _FLOAT.fullmatch(text) and math.isfinite(number := float(text)):
        return number
    return text


def dotted(where: Where) -> str:
    """A path as text: `providers.google.accounts[0]`, `models["a.b"]`."""
    text = ""
    for part in where:
        if isinstance(part, str) and re.fullmatch(r"[\w-]+", part):
            text += f".{part}" if text else part
        else:
            text += f"[{json.dumps(part, ensure_ascii=False)}]"
    return text


def read(path: Path) -> Document:
    """The document in a file. Raises ConfigError when it cannot be read at all."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ConfigError([Problem(message=f"cannot be read: {reason}", file=str(path))]) from None
    except UnicodeDecodeError as error:
        message = f"is not UTF-8 text (byte {error.start}): save it as UTF-8"
        raise ConfigError([Problem(message=message, file=str(path))]) from None
    return parse(text, str(path), path.parent)


def parse(text: str, file: str, folder: Path) -> Document:
    """The document in a text. Raises ConfigError when it is not YAML."""
    composer = _Composer(text, file)
    try:
        value = composer.document()
    except yaml.MarkedYAMLError as error:
        raise ConfigError([_syntax(error, text, file)]) from None
    except yaml.reader.ReaderError:
        raise ConfigError([Problem(message="has a control character: is this a text file?", file=file)]) from None
    return Document(value, file, folder, composer.keys, composer.values, tuple(composer.problems))


@define
class _Composer:
    """Puts events together. What is wrong but can be passed over is noted; what cannot is raised."""

    text: str
    file: str
    keys: dict[Where, Mark] = field(factory=dict)
    values: dict[Where, Mark] = field(factory=dict)
    problems: list[Problem] = field(factory=list)
    _anchors: dict[str, tuple[Any, int]] = field(factory=dict)
    _nodes: int = 0
    _events: Iterator[Any] = field(init=False)

    def document(self) -> Any:
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        self._events = iter(yaml.parse(self.text, Loader=loader))
        next(self._events)  # the stream starts
        if isinstance(next(self._events), yaml.StreamEndEvent):
            return None
        value = self._node(next(self._events), ())
        next(self._events)  # the document ends
        if not isinstance(event := next(self._events), yaml.StreamEndEvent):
            self._fail(event, "a second document begins: one file is one configuration")
        return value

    def _node(self, event: Any, where: Where) -> Any:
        self.values[where] = _mark(event)
        self._count(event, 1)
        if len(where) > MAX_DEPTH:
            self._fail(event, f"nested more than {MAX_DEPTH} deep")
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event)
        before = self._nodes
        value = self._content(event, where)
        if event.anchor:
            self._anchors[event.anchor] = (value, self._nodes - before)
        return value

    def _content(self, event: Any, where: Where) -> Any:
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(where)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(where)
        if event.tag == _TEXT_TAG:
            return event.value
        if event.tag and not _CORE_TAG.fullmatch(event.tag):
            self._note(event, where, "a word after “!” is a tag in YAML: put the value in quotes")
        return event.value if event.style or event.tag == "!" else scalar(event.value)

    def _sequence(self, where: Where) -> list[Any]:
        items: list[Any] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            items.append(self._node(event, (*where, len(items))))
        return items

    def _mapping(self, where: Where) -> dict[str, Any]:
        entries: dict[str, Any] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key = self._key(event, where, entries)
            value = self._node(next(self._events), (*where, key))
            entries.setdefault(key, value)
        return entries

    def _key(self, event: Any, where: Where, entries: Mapping[str, Any]) -> str:
        if not isinstance(event, yaml.ScalarEvent):
            self._fail(event, "a key must be a word, not a list, a mapping or an alias")
        key = str(event.value)
        if key == "<<" and not event.style:
            self._note(event, where, "“<<” merges mappings in YAML 1.1 only: write the keys out")
        elif not event.style and event.tag != _TEXT_TAG and not isinstance(scalar(key), str):
            self._note(event, where, f'a key must be text, and {key or "nothing"} is none: write "{key}"')
        if key in entries:
            line = self.keys[*where, key].line
            self._note(event, (*where, key), f"is there twice, first in line {line}")
        else:
            self.keys[*where, key] = _mark(event)
        return key

    def _alias(self, event: Any) -> Any:
        if event.anchor not in self._anchors:
            self._fail(event, "a word after “*” is an alias in YAML, and this one is not defined before it")
        value, size = self._anchors[event.anchor]
        self._count(event, size)
        return value

    def _count(self, event: Any, size: int) -> None:
        self._nodes += size
        if self._nodes > MAX_NODES:
            self._fail(event, f"more than {MAX_NODES} values: are there aliases that multiply?")

    def _note(self, event: Any, where: Where, message: str) -> None:
        mark = _mark(event)
        self.problems.append(
            Problem(message=message, path=dotted(where), file=self.file, line=mark.line, column=mark.column)
        )

    def _fail(self, event: Any, message: str) -> NoReturn:
        mark = _mark(event)
        raise ConfigError([Problem(message=message, file=self.file, line=mark.line, column=mark.column)])


def _mark(event: Any) -> Mark:
    return Mark(event.start_mark.line + 1, event.start_mark.column + 1)


def _syntax(error: yaml.MarkedYAMLError, text: str, file: str) -> Problem:
    mark = error.problem_mark
    assert mark is not None
    lines = text.splitlines()
    line = lines[mark.line] if mark.line < len(lines) else ""
    return Problem(
        message=_explained(error, line, mark.column), file=file, line=mark.line + 1, column=mark.column + 1
    )


def _explained(error: yaml.MarkedYAMLError, line: str, column: int) -> str:
    """What to do about it. Says nothing of the value, and the parser's own words only without theirs."""
    char = line[column : column + 1]
    if char == "{" and line[:column].endswith("$"):
        return 'inside {…} and […] a value with ${…} must be in quotes: "${NAME}"'
    if char == "\t":
        return "a tab: YAML is indented with spaces"
    if "cannot start any token" in str(error.problem):
        return f"a value cannot begin with {char!r}: put it in quotes"
    if "mapping values are not allowed" in str(error.problem):
        return "“: ” inside a value, or a line that is indented too far: put such a value in quotes"
    said = (str(part) for part in (error.context, error.problem) if part)
    return "is not YAML: " + re.sub(r"'[^']{2,}'", "'…'", ", ".join(said))
