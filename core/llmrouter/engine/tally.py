"""What this process has served since it started: the figures behind `status`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from attrs import define, field

from llmrouter.types import Attempt, RequestRecord

MOST_LINES = 5_000
OTHERS = "others"
"""Where models are summed up once clients have named too many of them."""


@define
class Line:
    """One endpoint's sums."""

    served: int = 0
    failed: int = 0
    tokens: int = 0
    cost: float = 0.0  # USD
    last_failure: str = ""


def _counts() -> defaultdict[str, int]:
    return defaultdict(int)  # adding to a Counter takes twice as long


@define
class Tally:
    """A metrics sink that only adds."""

    outcomes: dict[str, int] = field(factory=_counts)
    cache: dict[str, int] = field(factory=_counts)
    cost: float = 0.0  # USD
    unpriced: int = 0  # requests whose cost nobody knows
    lines: dict[str, Line] = field(factory=dict)

    def record(self, record: RequestRecord) -> None:
        self.outcomes[record.outcome] += 1
        self.cache[record.cache] += 1
        if record.cost is None:
            self.unpriced += 1
        else:
            self.cost += record.cost
        for step in record.steps:
            if type(step) is Attempt:
                self._attempt(step)

    def _attempt(self, step: Attempt) -> None:
        line = self.lines.get(step.endpoint) or self._line(step.endpoint)
        line.tokens += step.usage.prompt + step.usage.completion
        if step.cost:
            line.cost += step.cost
        if step.failure is None:
            line.served += 1
        elif step.failure.kind not in ("cancelled", "lost"):
            line.failed += 1
            line.last_failure = step.failure.kind

    def _line(self, endpoint: str) -> Line:
        """The line of an endpoint that has none yet."""
        return self.lines.setdefault(endpoint if len(self.lines) < MOST_LINES else OTHERS, Line())

    def snapshot(self) -> Mapping[str, Any]:
        return {
            "requests": sum(self.outcomes.values()),
            "outcomes": dict(self.outcomes),
            "cache": dict(self.cache),
            "cost": self.cost,
            "unpriced": self.unpriced,
        }
