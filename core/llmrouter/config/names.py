"""Which names a group or an alias may have: a client must be able to ask for it, and for all else too."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any

from .report import Report

AUTO = "auto"
_CONTROL = ("Cc", "Cs", "Zl", "Zp")
"""Unicode's categories of control characters, halves of characters, and separators of lines."""


def check_names(kind: str, names: Mapping[str, Any], providers: Iterable[str], report: Report) -> None:
    """Report every name of `kind`, which is groups or aliases, that hides another or cannot be asked for."""
    known = frozenset(providers)
    for name in names:
        if trouble := _trouble(name, known):
            report.error((kind, name), trouble, key=True)


def _trouble(name: str, providers: frozenset[str]) -> str:
    if not name.strip():
        return "a name may not be empty"
    if any(unicodedata.category(one) in _CONTROL for one in name):
        return "a name may not hold control characters"
    first, slash, _ = name.partition("/")
    if first == AUTO:
        return "cannot be a name of yours: “auto” and “auto/…” are the router's own, see `routing`"
    if slash and first in providers:
        return f"would hide a model of the provider “{first}”: choose a name that does not begin with “{first}/”"
    return ""
