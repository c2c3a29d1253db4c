"""The catalogue: every scenario there is, by name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence

from llmrouter.errors import LLMRouterError

from .arranged import arranged
from .scenario import Scenario
from .wire import wire


def catalogue() -> Mapping[str, Scenario]:
    return {one.name: one for one in (*wire(), *arranged())}


def chosen(names: Iterable[str]) -> Sequence[Scenario]:
    """The scenarios of these names; all, where there is no name. Raises LLMRouterError with what was meant."""
    known = catalogue()
    for name in names:
        if name not in known:
            close = difflib.get_close_matches(name, known, 1)
            hint = f"Did you mean {close[0]!r}?" if close else "`llmrouter chaos --list` shows them"
            raise LLMRouterError(f"there is no fault {name!r}. {hint}")
    return [known[name] for name in dict.fromkeys(names)] or [*known.values()]
