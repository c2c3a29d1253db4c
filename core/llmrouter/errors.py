"""Everything llmrouter raises.

LLMRouterError
├── ConfigError          the configuration is wrong; every problem at once, each with its place
├── PluginError          a plugin cannot be loaded, or a needed one is missing
├── InvalidRequest       a client's body cannot be served as it stands; becomes a 4xx
└── TransportError       an upstream could not be reached, or its answer broke off

What an upstream *says* is never an exception but a `Failure` (see `types`).
"""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen


class LLMRouterError(Exception):
    """Base of every error of this project."""


@frozen(kw_only=True)
class Problem:
    """One thing wrong with a configuration, and where. Holds no value of a secret."""

    message: str
    path: str = ""
    file: str = ""
    line: int | None = None
    column: int | None = None
    warning: bool = False

    def __str__(self) -> str:
        place = ":".join(str(part) for part in (self.file, self.line, self.column) if part not in ("", None))
        return " ".join(part for part in (place, f"{self.path}:" if self.path else "", self.message) if part)


class ConfigError(LLMRouterError):
    """A configuration that cannot be used; `problems` lists all that is wrong, in order of appearance."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = tuple(problems)

    def __reduce__(self) -> tuple[type[ConfigError], tuple[Sequence[Problem]]]:
        """So that it can come from another process."""
        return type(self), (self.problems,)


class PluginError(LLMRouterError):
    """A plugin that is missing, broken or there twice. The message names it and says what to do."""


class InvalidRequest(LLMRouterError):
    """A client's request that no upstream should see.

    `code` is the machine-readable name in the client's own dialect, `param` the field at fault.
    """

    def __init__(
        self, message: str, *, param: str | None = None, code: str = "invalid_value", status: int = 400
    ) -> None:
        super().__init__(message)
        self.param = param
        self.code = code
        self.status = status


class TransportError(LLMRouterError):
    """An upstream could not be reached or broke off. `kind` is a failure class of `types.Failure`.

    What was not `sent` can be billed by nobody.
    """

    def __init__(self, kind: str, message: str, sent: bool = True) -> None:
        super().__init__(message)
        self.kind, self.sent = kind, sent
