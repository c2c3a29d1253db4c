"""The order of one tier's peers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal

from attrs import frozen

from llmrouter.routing.spreading import permutation, spread
from llmrouter.types import Candidate, Facts, Ranked

Peers = Literal["weighted", "least_loaded", "round_robin", "order"]


@frozen
class Failover:
    """Ranks peers; held ones too, in the place they would have: the core moves them to the back."""

    peers: Peers = "weighted"
    free_first: bool = True

    @property
    def reason(self) -> str:
        """The reason code of a decision that follows this order."""
        return "default" if self.peers == "order" else "balance"

    def rank(self, facts: Facts, candidates: Sequence[Candidate], draw: float) -> Sequence[Ranked]:
        plan: list[Ranked] = []
        for band in self._bands(candidates):
            total = math.fsum(one.weight for one in band)
            for one in self._order(band, facts, draw):
                score = 1.0 - len(plan) / len(candidates)
                plan.append(Ranked(one, score, self._parts(one, one.weight / total if total else 0.0)))
        return plan

    def _bands(self, candidates: Sequence[Candidate]) -> Sequence[Sequence[Candidate]]:
        if not self.free_first:
            return [candidates]
        free = [one for one in candidates if one.cost == 0]
        return [free, [one for one in candidates if one.cost != 0]]

    def _order(self, band: Sequence[Candidate], facts: Facts, draw: float) -> Sequence[Candidate]:
        if self.peers == "weighted":
            return permutation(band, draw)
        if self.peers == "least_loaded":
            return spread(band, facts, draw)
        return sorted(band, key=_progress) if self.peers == "round_robin" else band

    def _parts(self, candidate: Candidate, share: float) -> Mapping[str, float]:
        """What its place follows from; `share` is its part of the weight of all free, or of all paid ones."""
        parts = {"free": float(candidate.cost == 0)} if self.free_first else {}
        if self.peers == "order":
            return parts
        parts["share"] = share
        if self.peers == "round_robin":
            parts["turns"] = float(candidate.turns)
        elif self.peers == "least_loaded":
            parts |= {"ttft": candidate.ttft, "load": float(candidate.load)}
        return parts


def _progress(candidate: Candidate) -> float:
    """How far a candidate has come through its share; without a share it is never due."""
    return candidate.turns / candidate.weight if candidate.weight > 0 else math.inf
