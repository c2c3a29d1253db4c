"""A whole order from one number, in which each has its share of every place."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from random import Random

from llmrouter.types import Candidate

NARROWEST = 2.0**-30
"""Below this width the digits that are left of a draw (53 bits) are no longer evenly spread."""


def permutation(candidates: Sequence[Candidate], draw: float) -> list[Candidate]:
    """Weighted, without replacement. `draw` is in [0, 1); equal draws give equal orders.

    The draw falls into the interval of the first pick, and its place inside that interval, stretched to
    [0, 1), makes the next one. So draws that are evenly spread give shares that are exact to one request,
    in the second place too: whoever takes over for a held candidate does so by weight.
    """
    left = sorted(candidates, key=lambda one: one.endpoint)  # a recorded plan comes back in another order
    ordered: list[Candidate] = []
    place, width = draw, 1.0
    while len(left) > 1 and width > NARROWEST:
        ends = list(accumulate(one.weight for one in left))
        if ends[-1] <= 0:
            break
        target = place * ends[-1]
        pick = min(bisect_right(ends, target), len(left) - 1)
        start = ends[pick - 1] if pick else 0.0
        chosen = left.pop(pick)
        place = min((target - start) / chosen.weight, 1.0) if chosen.weight else 0.0
        width *= chosen.weight / ends[-1]
        ordered.append(chosen)
    return ordered + _shuffled(left, draw)


def _shuffled(left: list[Candidate], draw: float) -> list[Candidate]:
    """The far end of a long list, whose places the draw is too coarse for: weighted by exponential clocks."""
    if len(left) < 2:
        return left
    dice = Random(draw)
    clocks = {one.endpoint: _clock(one.weight, dice.random()) for one in left}
    return sorted(left, key=lambda one: clocks[one.endpoint])


def _clock(weight: float, dice: float) -> float:
    return -math.log1p(-dice) / weight if weight > 0 else math.inf
