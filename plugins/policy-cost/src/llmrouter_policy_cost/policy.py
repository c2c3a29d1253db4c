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

COST, QUALITY, SPEED, HEADROOM = 0.5 / 3, 0.25 / 3, 0.15 / 3, 0.1 / 3
"""What a balanced score is made of, beside its band: together a third."""

REASONS = {"cheapest": "cost", "balanced": "preference", "quality": "quality"}

LAST, USUAL, FREE = 0 / 3, 1 / 3, 2 / 3
"""Where the scores of a band begin: all that is free is ahead of the rest, last resorts are behind it."""

Place = tuple[float, float, int, Ranked]
"""What is sorted: by score, then by what decides between equal scores; the number keeps the rest out of it."""


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
        if self.floor > 0 or self.ceiling is not None:
            candidates = [one for one in candidates if self._admits(one)]
        cost = costs(candidates)
        speed = speeds(candidates) if self.mode == "balanced" else [0.0] * len(candidates)
        by_quality = self.mode == "quality"
        places: list[Place] = []
        for number, candidate in enumerate(candidates):
            parts = self._parts(candidate, cost[number], speed[number])
            total = math.fsum(parts.values())
            score = total if total < 1.0 else 1.0
            tie = -cost[number] if by_quality else -candidate.quality
            places.append((-score, tie, number, Ranked(candidate, score, parts)))
        places.sort()
        plan: list[Ranked] = []
        above, ties = 1.0, False
        for place, _, _, ranked in places:
            if place == above:
                ties = True
            above = place
            plan.append(ranked)
        return _parted(places, facts, draw) if ties else plan

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
        band = FREE if self.free_first and candidate.cost == 0 else USUAL
        if self.mode == "cheapest":
            return {"band": band, "cost": cost / 3}
        if self.mode == "quality":
            return {"band": band, "quality": round(candidate.quality, 2) / 3}
        return {
            "band": band,
            "cost": COST * cost,
            "quality": QUALITY * candidate.quality,
            "speed": SPEED * speed,
            "headroom": HEADROOM * candidate.headroom,
        }


def _parted(places: Sequence[Place], facts: Facts, draw: float) -> Sequence[Ranked]:
    """The plan, where something may be equal in all that it is sorted by."""
    plan: list[Ranked] = []
    for _, group in groupby(places, itemgetter(0, 1)):
        equals = [ranked for _, _, _, ranked in group]
        plan += equals if len(equals) == 1 else _spread(equals, facts, draw)
    return plan


def _spread(equals: Sequence[Ranked], facts: Facts, draw: float) -> Sequence[Ranked]:
    """Equals share by how long each would take."""
    ranked = {one.candidate.endpoint: one for one in equals}
    return [ranked[one.endpoint] for one in spread([one.candidate for one in equals], facts, draw)]
