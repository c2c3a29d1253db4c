"""Equals share by weight: a draw decides between them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from random import Random

from llmrouter.types import Ranked


def drawn(equals: Sequence[Ranked], draw: float) -> Sequence[Ranked]:
    """An order by weighted lots; the same for equal draws, whatever order the equals come in."""
    if len(equals) < 2:
        return equals
    dice = Random(draw)
    by_name = sorted(equals, key=lambda one: one.candidate.endpoint)
    lots = {one.candidate.endpoint: _lot(one.candidate.weight, dice.random()) for one in by_name}
    return sorted(by_name, key=lambda one: lots[one.candidate.endpoint])


def _lot(weight: float, dice: float) -> float:
    """The time of an exponential clock: the smallest comes first, with a chance in proportion to its weight."""
    return -math.log1p(-dice) / weight if weight > 0 else math.inf
