"""Orders that need no plugin: the configuration's own, and those a client asks for by name."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from attrs import frozen

from llmrouter.types import Candidate, Facts, Ranked


@frozen
class Order:
    """Ranks by one figure; the configuration's order decides between equals."""

    key: Callable[[Candidate], float]
    reason: str = "default"

    def rank(self, facts: Facts, candidates: Sequence[Candidate], draw: float) -> Sequence[Ranked]:
        ordered = sorted(candidates, key=self.key)
        return [Ranked(candidate, 1.0 - place / len(ordered)) for place, candidate in enumerate(ordered)]


def _cost(candidate: Candidate) -> float:
    return math.inf if candidate.cost is None else candidate.cost


CONFIGURED = Order(lambda candidate: 0.0)
ASKED: Mapping[str, Order] = {
    "cost": Order(_cost, "cost"),
    "speed": Order(lambda candidate: candidate.ttft or math.inf, "speed"),
    "quality": Order(lambda candidate: -candidate.quality, "quality"),
}
