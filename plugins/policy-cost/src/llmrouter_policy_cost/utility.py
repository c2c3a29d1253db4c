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
    low, high = math.inf, 0.0
    for one in candidates:
        cost = one.cost
        if cost:
            if cost < low:
                low = cost
            if cost > high:
                high = cost
    top, width = _scale(low, high)
    utilities = []
    for one in candidates:
        cost = one.cost
        if not cost:
            utilities.append(UNKNOWN if cost is None else FREE)
        else:
            utilities.append(DEAREST + PAID * (top - math.log2(cost)) / width if width else CHEAPEST)
    return utilities


def speeds(candidates: Sequence[Candidate]) -> Utilities:
    """Logarithmic in the time to the first output; what is not known yet stands in the middle."""
    low, high = math.inf, 0.0
    for one in candidates:
        ttft = one.ttft
        if ttft:
            if ttft < low:
                low = ttft
            if ttft > high:
                high = ttft
    top, width = _scale(low, high)
    utilities = []
    for one in candidates:
        ttft = one.ttft
        if not ttft:
            utilities.append(0.5)
        else:
            utilities.append((top - math.log2(ttft)) / width if width else 1.0)
    return utilities


def _scale(low: float, high: float) -> tuple[float, float]:
    """The logarithm of the highest, and how far the lowest one's is below it; without a second value, no way."""
    if low >= high:
        return 0.0, 0.0
    top = math.log2(high)
    return top, top - math.log2(low)
