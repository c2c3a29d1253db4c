"""What a run comes to: figures for people and programs. Costs are USD, times seconds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from attrs import frozen

from .ledger import Ledger
from .upstreams import Upstreams

OUTCOMES = ("answered", "refused", "broken", "late", "wrong")
PERCENTILES = (50, 95, 99)
DIGITS = 6

Figures = Mapping[str, Any]


@frozen
class Report:
    """One run: the same for the same configuration, trace and seed, byte by byte."""

    figures: Figures

    @property
    def availability(self) -> float:
        return float(self.figures["availability"])


def report(seed: int, days: float, ledger: Ledger, upstreams: Upstreams) -> Report:
    requests = ledger.outcomes.total()
    calls = sum(one.calls for one in upstreams.billed.values())
    cost, useful = (
        sum(one.cost for one in upstreams.billed.values()),
        sum(one.cost for one in ledger.lines.values()),
    )
    served = sum(line.served for line in ledger.lines.values())
    return Report(
        _rounded(
            {
                "seed": seed,
                "days": days,
                "requests": requests,
                "availability": ledger.outcomes["answered"] / requests if requests else 1.0,
                "outcomes": {name: ledger.outcomes[name] for name in OUTCOMES},
                "latency": _percentiles(ledger.latencies),
                "first_output": _percentiles(ledger.first_outputs),
                "calls": calls,
                "calls_per_request": calls / requests if requests else 0.0,
                "switches": ledger.switches,
                "switched_requests": ledger.switched,
                "hedges": ledger.roles["hedge"],
                "repeats": ledger.roles["repeat"],
                "probes": ledger.roles["probe"],
                "rescues": ledger.roles["rescue"],
                "queued": {"requests": ledger.queued, "seconds": ledger.waited},
                "cost": cost,
                "wasted": {"calls": calls - served, "cost": cost - useful},
                "unpriced_calls": sum(one.unpriced for one in upstreams.billed.values()),
                "endpoints": {
                    name: _endpoint(name, ledger, upstreams, served)
                    for name in sorted({*ledger.lines, *upstreams.billed})
                },
            }
        )
    )


def _endpoint(name: str, ledger: Ledger, upstreams: Upstreams, served: int) -> Figures:
    line, billed = ledger.lines[name], upstreams.billed[name]
    return {
        "calls": billed.calls,
        "served": line.served,
        "share": line.served / served if served else 0.0,
        "failures": dict(sorted(line.failures.items())),
        "cost": billed.cost,
    }


def summary(reports: Sequence[Report]) -> Figures:
    """Several seeds together: what they add up to, and the worst of them."""
    runs = [one.figures for one in reports]
    worst = min(runs, key=lambda one: one["availability"])
    requests = sum(one["requests"] for one in runs)
    answered = sum(one["outcomes"]["answered"] for one in runs)
    return _rounded(
        {
            "seeds": len(runs),
            "requests": requests,
            "availability": answered / requests if requests else 1.0,
            "worst": {"seed": worst["seed"], "availability": worst["availability"]},
            "runs": runs,
        }
    )


def _percentiles(values: Sequence[float]) -> Figures:
    """The smallest value that so many percent do not exceed."""
    ordered = sorted(values)
    return {
        f"p{one}": ordered[max(0, math.ceil(len(ordered) * one / 100) - 1)] if ordered else None
        for one in PERCENTILES
    }


def _rounded(value: Any) -> Any:
    """Sums of floats depend on their order in the last digits; nobody reads those."""
    if isinstance(value, float):
        return round(value, DIGITS)
    if isinstance(value, Mapping):
        return {key: _rounded(one) for key, one in value.items()}
    return [_rounded(one) for one in value] if isinstance(value, list) else value
