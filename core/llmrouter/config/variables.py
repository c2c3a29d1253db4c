"""`${NAME}`, `${NAME:-default}` and `file:path`: values that are not written in the configuration."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from attrs import define, field

from llmrouter.errors import Problem

from .document import Document, Where
from .redact import LEAST, names_secret, secrets_in
from .report import Report

_REFERENCE = re.compile(r"\$\$\{|\$\{([^}]*)(\}?)")
_INSIDE = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?::-([^{]*))?")
_LINE = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*)")
_QUOTED = re.compile(r"""(["'])(.*?)\1\s*(?:#.*)?""")
_MOST = 65_536
"""Bytes of a file that holds one value."""


@define
class Resolved:
    """A document with its variables put in. `sources` says what a value was read from."""

    value: Any
    sources: dict[Where, str] = field(factory=dict)
    missing: set[Where] = field(factory=set)


def dotenv(folder: Path) -> tuple[dict[str, str], list[Problem]]:
    """The variables of the file `.env` in a folder, and what could not be read of it."""
    path = folder / ".env"
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except FileNotFoundError:
        return {}, []
    except (OSError, UnicodeDecodeError) as error:
        return {}, [Problem(message=f"cannot be read: {type(error).__name__}", file=str(path), warning=True)]
    found: dict[str, str] = {}
    problems = []
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if match := _LINE.fullmatch(line.strip()):
            found[match[1]] = _unquoted(match[2])
        else:
            message = "is not NAME=value, and was passed over"
            problems.append(Problem(message=message, file=str(path), line=number, warning=True))
    return found, problems


def _unquoted(text: str) -> str:
    if match := _QUOTED.fullmatch(text):
        return match[2]
    return re.split(r"\s+#", text, maxsplit=1)[0].strip()


def resolve(document: Document, environ: Mapping[str, str], report: Report, required: bool) -> Resolved:
    """The document with every variable and file put in. Where one is missing the text stays as it was."""
    found = Resolved(None)
    miss = report.error if required else report.warn
    found.value = _Resolver(document.folder, environ, report, miss, found).value(document.value, ())
    report.secrets |= secrets_in(found.value)
    report.sources = found.sources
    return found


@define
class _Resolver:
    folder: Path
    environ: Mapping[str, str]
    report: Report
    miss: Callable[[Where, str], None]
    found: Resolved

    def value(self, value: Any, where: Where) -> Any:
        if isinstance(value, Mapping):
            return {key: self.value(one, (*where, key)) for key, one in value.items()}
        if isinstance(value, list | tuple):
            return [self.value(one, (*where, index)) for index, one in enumerate(value)]
        return self.text(value, where) if isinstance(value, str) else value

    def text(self, text: str, where: Where) -> str:
        put = _REFERENCE.sub(lambda match: self.variable(match, where), text)
        if where in self.found.missing:
            return text
        if put.startswith("file:") and not put.startswith("file://"):
            put = self.file(put.removeprefix("file:"), where)
        if where in self.found.sources and len(put) >= LEAST:
            self.report.secrets.add(put)
        return put

    def variable(self, match: re.Match[str], where: Where) -> str:
        if match[0] == "$${":
            return "${"
        inside = _INSIDE.fullmatch(match[1])
        if not inside or not match[2]:
            self.report.error(where, "a variable is written ${NAME} or ${NAME:-default}, and $${ is a plain “${”")
            self.found.missing.add(where)
            return ""
        name, default = inside[1], inside[2]
        self.found.sources[where] = f"${{{name}}}"
        if value := self.environ.get(name):
            return value
        if default is None:
            what = "empty" if name in self.environ else "not set"
            advice = "" if names_secret(where) else f": set it, or write ${{{name}:-default}}"
            self.miss(where, f"the variable {name} is {what}{advice}")
            self.found.missing.add(where)
        return default or ""

    def file(self, name: str, where: Where) -> str:
        path = self.folder / Path(name.strip()).expanduser()
        label = "" if where in self.found.sources else f" {name.strip()}"
        self.found.sources.setdefault(where, f"file:{name}")
        try:
            with path.open("rb") as file:
                return file.read(_MOST).decode("utf-8-sig").strip()
        except (OSError, UnicodeDecodeError, RuntimeError) as error:
            reason = getattr(error, "strerror", None) or type(error).__name__
            self.miss(where, f"the file{label} cannot be read: {reason}")
            self.found.missing.add(where)
            return f"file:{name}"
