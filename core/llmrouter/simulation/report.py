"""What a run comes to: figures for people and programs. Costs are USD, times seconds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from attrs import frozen

from .ledger import Ledger
from .upstreams import Upstreams

OUTCOMES = ("answered", "refused", "broken", "late", "wrong")
ROLES = {"hedges": "hedge", "repeats": "repeat", "probes": "probe", "rescues": "rescue"}
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
    requests, roles, billed = ledger.outcomes.total(), ledger.roles, upstreams.billed.values()
    calls, cost = sum(one.calls for one in billed), sum(one.cost for one in billed)
    served = sum(line.served for line in ledger.lines.values())
    useful = sum(line.cost for line in ledger.lines.values())
    names = sorted({*ledger.lines, *upstreams.billed})
    figures = {
        "seed": seed,
        "days": days,
        "requests": requests,
        "availability": _part(ledger.outcomes["answered"], requests),
        "outcomes": {name: ledger.outcomes[name] for name in OUTCOMES},
        "latency": _percentiles(ledger.latencies),
        "first_output": _percentiles(ledger.first_outputs),
        "calls": calls,
        "calls_per_request": _part(calls, requests),
        "switches": ledger.switches,
        "switched_requests": ledger.switched,
        **{name: roles[role] for name, role in ROLES.items()},
        "queued": {"requests": ledger.queued, "seconds": ledger.waited},
        "cost": cost,
        "wasted": {"calls": calls - served, "cost": cost - useful},
        "unpriced_calls": sum(one.unpriced for one in billed),
        "endpoints": {name: _endpoint(name, ledger, upstreams, served) for name in names},
    }
    return Report(_rounded(figures))


def _endpoint(name: str, ledger: Ledger, upstreams: Upstreams, served: int) -> Figures:
    line, billed = ledger.lines[name], upstreams.billed[name]
    return {
        "calls": billed.calls,
        "served": line.served,
        "share": _part(line.served, served),
        "failures": dict(sorted(line.failures.items())),
        "cost": billed.cost,
    }


def summary(reports: Sequence[Report]) -> Figures:
    """Several seeds together: what they add up to, and the worst of them."""
    runs = [one.figures for one in reports]
    worst = min(runs, key=lambda one: one["availability"])
    requests = sum(one["requests"] for one in runs)
    answered = sum(one["outcomes"]["answered"] for one in runs)
    found: Figures = {
        "seeds": len(runs),
        "requests": requests,
        "availability": round(_part(answered, requests), DIGITS),
        "worst": {"seed": worst["seed"], "availability": worst["availability"]},
        "runs": runs,
    }
    return found


def _part(part: float, whole: float) -> float:
    """As a part of one; nothing of nothing is 0."""
    return part / whole if whole else 0.0


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
