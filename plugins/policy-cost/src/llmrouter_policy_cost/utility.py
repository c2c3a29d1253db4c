"""How good a candidate is in one respect, from 0 to 1, beside the others of its tier."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from llmrouter.types import Candidate

FREE, CHEAPEST, DEAREST, UNKNOWN = 1.0, 0.9, 0.1, 0.0
"""Utilities of a cost: what is free is ahead of all that is paid, and an unknown price is the dearest."""

Utilities = Sequence[float]
"""In the order of the candidates."""


def costs(candidates: Sequence[Candidate]) -> Utilities:
    """Logarithmic between the cheapest and the dearest paid one, so that twice the price weighs the same."""
    closeness = _closeness([one.cost for one in candidates if one.cost])
    return [
        DEAREST + (CHEAPEST - DEAREST) * closeness(one.cost) if one.cost else UNKNOWN if one.cost is None else FREE
        for one in candidates
    ]


def speeds(candidates: Sequence[Candidate]) -> Utilities:
    """Logarithmic in the time to the first output; what is not known yet stands in the middle."""
    closeness = _closeness([one.ttft for one in candidates if one.ttft])
    return [closeness(one.ttft) if one.ttft else 0.5 for one in candidates]


def _closeness(values: Sequence[float]) -> Callable[[float], float]:
    """1 for the lowest of some positive values, 0 for the highest."""
    low, high = (math.log(min(values)), math.log(max(values))) if values else (0.0, 0.0)
    spread = high - low
    return (lambda value: (high - math.log(value)) / spread) if spread > 0 else lambda value: 1.0
