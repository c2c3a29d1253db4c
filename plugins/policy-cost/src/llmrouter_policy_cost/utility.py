"""How good a candidate is in one respect, from 0 to 1, beside the others of its tier."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from llmrouter.types import Candidate

FREE, CHEAPEST, DEAREST, UNKNOWN = 1.0, 0.9, 0.1, 0.0
"""Utilities of a cost: what is free is ahead of all that is paid, and an unknown price is the dearest."""

Utilities = Mapping[str, float]
"""By endpoint."""


def costs(candidates: Sequence[Candidate]) -> Utilities:
    """Logarithmic between the cheapest and the dearest paid one, so that twice the price weighs the same."""
    paid = [one.cost for one in candidates if one.cost]
    low, high = min(paid, default=0.0), max(paid, default=0.0)

    def utility(cost: float | None) -> float:
        if not cost:
            return UNKNOWN if cost is None else FREE
        return DEAREST + (CHEAPEST - DEAREST) * _closeness(cost, low, high)

    return {one.endpoint: utility(one.cost) for one in candidates}


def speeds(candidates: Sequence[Candidate]) -> Utilities:
    """Logarithmic in the time to the first output; what is not known yet stands in the middle."""
    known = [one.ttft for one in candidates if one.ttft]
    low, high = min(known, default=0.0), max(known, default=0.0)
    return {one.endpoint: _closeness(one.ttft, low, high) if one.ttft else 0.5 for one in candidates}


def _closeness(value: float, low: float, high: float) -> float:
    """1 at `low`, 0 at `high`; all of them positive."""
    spread = math.log(high) - math.log(low)
    return (math.log(high) - math.log(value)) / spread if spread > 0 else 1.0
