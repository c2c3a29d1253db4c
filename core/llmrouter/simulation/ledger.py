"""What came of the requests of one run, counted."""

from __future__ import annotations

from collections import Counter, defaultdict

from attrs import define, field

from llmrouter.types import Attempt, RequestRecord

from .clients import Caller


@define
class Line:
    """One endpoint's attempts, as the records tell them."""

    attempts: int = 0
    served: int = 0
    failures: Counter[str] = field(factory=Counter)
    cost: float = 0.0  # USD, of what was served


@define(eq=False)
class Ledger:
    """A metrics sink, and told by every client how its request ended."""

    outcomes: Counter[str] = field(factory=Counter)
    recorded: Counter[str] = field(factory=Counter)
    lines: defaultdict[str, Line] = field(factory=lambda: defaultdict(Line))
    roles: Counter[str] = field(factory=Counter)
    switches: int = 0  # attempts at another endpoint than the one before
    switched: int = 0  # requests that had any
    queued: int = 0
    waited: float = 0.0  # seconds
    latencies: list[float] = field(factory=list)
    first_outputs: list[float] = field(factory=list)

    def record(self, record: RequestRecord) -> None:
        self.recorded[record.outcome] += 1
        before, switches = "", 0
        for step in record.steps:
            if isinstance(step, Attempt):
                self._attempt(step)
                if step.role in ("turn", "rescue"):
                    switches += before not in ("", step.endpoint)
                before = step.endpoint
        self.switches += switches
        self.switched += switches > 0
        self.queued += record.queued > 0
        self.waited += record.queued

    def ended(self, caller: Caller, started: float, now: float) -> None:
        self.outcomes[caller.outcome] += 1
        if caller.outcome == "answered":
            self.latencies.append(now - started)
            if caller.first is not None:
                self.first_outputs.append(caller.first - started)

    def _attempt(self, step: Attempt) -> None:
        line = self.lines[step.endpoint]
        line.attempts += 1
        self.roles[step.role] += 1
        if step.failure:
            line.failures[step.failure.kind] += 1
        else:
            line.served += 1
            line.cost += step.cost or 0.0
