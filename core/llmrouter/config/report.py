"""Everything wrong with a configuration, collected with its places."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence

from attrs import define, evolve, field

from llmrouter.errors import ConfigError, Problem

from .document import Document, Where, dotted
from .redact import scrubbed, shown


@define
class Report:
    """Problems of one document.

    `secrets` are texts that no message may hold, `sources` the values that were read from elsewhere: they
    are told by where they come from.
    """

    document: Document
    secrets: set[str] = field(factory=set)
    sources: Mapping[Where, str] = field(factory=dict)
    _found: list[Problem] = field(factory=list)

    def __attrs_post_init__(self) -> None:
        self._found.extend(self.document.problems)

    def error(self, where: Where, message: str, *, key: bool = False) -> None:
        """Note what must be put right. `key` points at the key and not at its value."""
        self._add(where, message, key, warning=False)

    def warn(self, where: Where, message: str, *, key: bool = False) -> None:
        """Note what works and may be meant otherwise."""
        self._add(where, message, key, warning=True)

    def said(self, where: Where, value: object) -> str:
        """A value for a message, or part of one: as it is written, which is not what a variable holds."""
        return f"what {self.sources[where]} gives" if where in self.sources else shown(value)

    def add(self, problem: Problem) -> None:
        self._found.append(problem)

    def _add(self, where: Where, message: str, key: bool, warning: bool) -> None:
        mark = self.document.mark(where, key)
        self._found.append(
            Problem(
                message=message,
                path=dotted(where),
                file=self.document.file,
                line=mark.line if mark else None,
                column=mark.column if mark else None,
                warning=warning,
            )
        )

    def problems(self) -> tuple[Problem, ...]:
        """All of them, once each, in the order of the file and without a secret."""
        clean = (
            evolve(one, message=scrubbed(one.message, self.secrets), path=scrubbed(one.path, self.secrets))
            for one in self._found
        )
        return tuple(sorted(dict.fromkeys(clean), key=self._order))

    def _order(self, problem: Problem) -> tuple[bool, int, int]:
        return problem.file != self.document.file, problem.line or 0, problem.column or 0

    def check(self) -> None:
        """Raise ConfigError with everything noted, if any of it is an error."""
        problems = self.problems()
        if any(not one.warning for one in problems):
            raise ConfigError(problems)


def did_you_mean(word: object, known: Iterable[str], cutoff: float = 0.6) -> str:
    """` Did you mean "policy"?`, or nothing."""
    close = difflib.get_close_matches(str(word), list(known), 1, cutoff)
    return f' Did you mean "{close[0]}"?' if close else ""


def listed(words: Sequence[str]) -> str:
    """`a, b or c`."""
    return " or ".join(filter(None, (", ".join(words[:-1]), *words[-1:])))
