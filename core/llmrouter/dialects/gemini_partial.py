"""Arguments of a call that come in pieces, each with the place it belongs to → one JSON object.

Streamed on request only (`streamFunctionCallArguments`): `{"jsonPath": "$.items[0].name", "stringValue": "…",
"willContinue": true}`. Texts that continue are appended, all other values are whole.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from .common import dumps

VALUES = ("stringValue", "numberValue", "boolValue", "nullValue")

_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]|\['((?:[^'\\]|\\.)*)'\]|\[\"((?:[^\"\\]|\\.)*)\"\]")
_MOST = 10_000  # members of a list that pieces may ask for


class Pieces:
    """The arguments of one call. What cannot be placed is left out."""

    def __init__(self) -> None:
        self._root: dict[str, Any] = {}

    def add(self, piece: Mapping[str, Any]) -> None:
        steps = [_step(found) for found in _STEP.finditer(str(piece.get("jsonPath") or ""))]
        name = next((name for name in VALUES if name in piece), None)
        if not steps or name is None:
            return
        value = None if name == "nullValue" else piece[name]
        into: Any = self._root
        for step, after in pairwise(steps):
            into = _descend(into, step, [] if isinstance(after, int) else {})
        before = _get(into, steps[-1])
        _put(into, steps[-1], before + value if isinstance(before, str) and isinstance(value, str) else value)

    def json(self) -> str:
        return dumps(self._root).decode()


def _step(found: re.Match[str]) -> str | int:
    name, index, single, double = found.groups()
    return int(index) if index is not None else next(one for one in (name, single, double) if one is not None)


def _descend(into: Any, step: str | int, empty: Any) -> Any:
    found = _get(into, step)
    if not isinstance(found, dict | list):
        found = empty
        _put(into, step, found)
    return found


def _get(into: Any, step: str | int) -> Any:
    if isinstance(into, list):
        return into[step] if isinstance(step, int) and step < len(into) else None
    return into.get(str(step))


def _put(into: Any, step: str | int, value: Any) -> None:
    if isinstance(into, list):
        if isinstance(step, int) and step < _MOST:
            into += [None] * (step + 1 - len(into))
            into[step] = value
    else:
        into[str(step)] = value
