"""Leave out what is too dear or too weak, then order the rest by cost, quality, speed and headroom."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Literal

from attrs import frozen

from llmrouter.routing.spreading import spread
from llmrouter.types import Candidate, Facts, Ranked

from .utility import costs, speeds

WEIGHTS: Mapping[str, Mapping[str, float]] = {
    "cheapest": {"cost": 1.0},
    "balanced": {"cost": 0.5, "quality": 0.25, "speed": 0.15, "headroom": 0.1},
    "quality": {"quality": 1.0},
}
"""What a score is made of, by mode; each sums to 1."""

REASONS = {"cheapest": "cost", "balanced": "preference", "quality": "quality"}

LAST, USUAL, FREE = 0 / 3, 1 / 3, 2 / 3
"""Where the scores of a band begin: all that is free is ahead of the rest, last resorts are behind it."""


@frozen(kw_only=True)
class Cost:
    """Ranks by the expected cost of the request in hand: input and expected output at each model's prices.

    `ceiling` is in USD, `floor` a quality from 0 to 1; both leave candidates out.
    """

    mode: Literal["cheapest", "balanced", "quality"] = "balanced"
    free_first: bool = True
    ceiling: float | None = None
    floor: float = 0.0
    last: tuple[str, ...] = ()  # endpoints, the first of them first

    @property
    def reason(self) -> str:
        """The reason code of a decision that follows this order."""
        return REASONS[self.mode]

    def rank(self, facts: Facts, candidates: Sequence[Candidate], draw: float) -> Sequence[Ranked]:
        kept = [one for one in candidates if self._admits(one)] if self._leaves_out else candidates
        rows = [self._row(*row) for row in zip(kept, costs(kept), speeds(kept), strict=True)]
        rows.sort(key=itemgetter(0))
        if len({place for place, _ in rows}) == len(rows):  # nobody is anybody's equal
            return [ranked for _, ranked in rows]
        groups = [tuple(ranked for _, ranked in group) for _, group in groupby(rows, itemgetter(0))]
        return [ranked for equals in groups for ranked in _spread(equals, facts, draw)]

    def _row(self, candidate: Candidate, cost: float, speed: float) -> tuple[tuple[float, float], Ranked]:
        """A candidate, after what it is sorted by."""
        parts = self._parts(candidate, cost, speed)
        score = min(math.fsum(parts.values()), 1.0)
        second = cost if self.mode == "quality" else candidate.quality
        return (-score, -second), Ranked(candidate, score, parts)

    @property
    def _leaves_out(self) -> bool:
        return self.floor > 0 or self.ceiling is not None

    def _admits(self, candidate: Candidate) -> bool:
        if candidate.quality < self.floor:
            return False
        if self.ceiling is None:
            return True
        return candidate.cost is not None and candidate.cost <= self.ceiling

    def _parts(self, candidate: Candidate, cost: float, speed: float) -> Mapping[str, float]:
        """What its score is the sum of: the band it is in, then a third of each weighted utility."""
        if candidate.endpoint in self.last:
            turn = self.last.index(candidate.endpoint)
            return {"band": LAST, "fallback_chain": (len(self.last) - turn) / (len(self.last) + 1) / 3}
        quality = round(candidate.quality, 2) if self.mode == "quality" else candidate.quality
        utilities = {"cost": cost, "quality": quality, "speed": speed, "headroom": candidate.headroom}
        parts = {"band": FREE if self.free_first and candidate.cost == 0 else USUAL}
        for name, weight in WEIGHTS[self.mode].items():
            parts[name] = weight * utilities[name] / 3
        return parts


def _spread(equals: Sequence[Ranked], facts: Facts, draw: float) -> Sequence[Ranked]:
    """Equals share by how long each would take."""
    if len(equals) < 2:
        return equals
    ranked = {one.candidate.endpoint: one for one in equals}
    return [ranked[one.endpoint] for one in spread([one.candidate for one in equals], facts, draw)]
