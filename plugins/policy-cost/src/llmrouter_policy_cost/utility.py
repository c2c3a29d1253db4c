"""How good a candidate is in one respect, from 0 to 1, beside the others of its tier."""

from __future__ import annotations

import math
from collections.abc import Sequence

from llmrouter.types import Candidate

FREE, CHEAPEST, DEAREST, UNKNOWN = 1.0, 0.9, 0.1, 0.0
"""Utilities of a cost: what is free is ahead of all that is paid, and an unknown price is the dearest."""
PAID = CHEAPEST - DEAREST

Utilities = Sequence[float]
"""In the order of the candidates."""


def costs(candidates: Sequence[Candidate]) -> Utilities:
    """Logarithmic between the cheapest and the dearest paid one, so that twice the price weighs the same."""
    high, spread = _scale([one.cost for one in candidates if one.cost])
    utilities = []
    for one in candidates:
        if one.cost:
            closeness = (high - math.log(one.cost)) / spread if spread > 0 else 1.0
            utilities.append(DEAREST + PAID * closeness)
        else:
            utilities.append(UNKNOWN if one.cost is None else FREE)
    return utilities


def speeds(candidates: Sequence[Candidate]) -> Utilities:
    """Logarithmic in the time to the first output; what is not known yet stands in the middle."""
    high, spread = _scale([one.ttft for one in candidates if one.ttft])
    utilities = []
    for one in candidates:
        if one.ttft:
            utilities.append((high - math.log(one.ttft)) / spread if spread > 0 else 1.0)
        else:
            utilities.append(0.5)
    return utilities


def _scale(values: list[float]) -> tuple[float, float]:
    """The logarithm of the highest of some positive values, and how far the lowest one's is below it."""
    if len(values) < 2:
        return 0.0, 0.0
    values.sort()  # `min` and `max` parse their arguments: two or three values are sorted in less
    high = math.log(values[-1])
    return high, high - math.log(values[0])
