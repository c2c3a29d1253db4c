"""The scorecard: what became of every fault, as data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import attrs
from attrs import field, frozen

from .scenario import Shape
from .verdict import VERDICTS, Verdict


@frozen(kw_only=True)
class Result:
    """One fault in one shape, once: the worst of its requests, and how it went."""

    fault: str
    about: str
    group: str
    shape: Shape
    verdict: Verdict
    why: str = ""
    seconds: float = 0.0  # of the slowest request
    attempts: tuple[str, ...] = ()  # of the worst one: who was asked, and what became of it
    excuse: str = ""  # why nothing better was to be had, where nothing was

    @property
    def badness(self) -> int:
        return VERDICTS.index(self.verdict)


@frozen(kw_only=True)
class Card:
    """All results of a run, and what has to be said about it. `pace` divided the time-outs."""

    source: str
    profiles: Mapping[str, str]  # by group
    seed: int
    pace: float
    copies: int
    repeats: int
    seconds: float
    results: Sequence[Result]
    stand_ins: Sequence[str] = ()  # providers that another plugin played
    absent: Sequence[str] = ()  # members that serve no chat
    skipped: Mapping[str, str] = field(factory=dict)  # faults that this machine cannot play, and why

    @property
    def failed(self) -> bool:
        return any(one.verdict == "fail" for one in self.results)

    def worst(self) -> Sequence[Result]:
        """One result for each fault, group and shape: the worst of its repeats, in the order of the catalogue."""
        found: dict[tuple[str, str, Shape], Result] = {}
        for one in self.results:
            key = (one.group, one.fault, one.shape)
            found[key] = max(found.get(key, one), one, key=lambda it: (it.badness, it.seconds))
        return [*found.values()]

    def counts(self) -> Mapping[Verdict, int]:
        counted = Counter(one.verdict for one in self.worst())
        return {verdict: counted[verdict] for verdict in VERDICTS}

    def as_json(self) -> Mapping[str, Any]:
        results = [attrs.asdict(one) for one in self.worst()]
        own = attrs.asdict(self, filter=lambda attribute, _: attribute.name != "results")
        return {**own, "counts": self.counts(), "failed": self.failed, "results": results}
