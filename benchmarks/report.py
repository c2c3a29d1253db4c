"""The tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .goals import GOALS, Goal
from .measure import Results
from .scenarios import Scenario

COLUMNS = (
    ("requests/s", "rate", 1.0),
    ("CPU µs/request", "cpu_us", 1.0),
    ("p50 ms", "latency_us.p50", 1e-3),
    ("p95 ms", "latency_us.p95", 1e-3),
    ("p99 ms", "latency_us.p99", 1e-3),
    ("first event ms", "first_event_us.p50", 1e-3),
    ("CPU µs/event", "event_cpu_us", 1.0),
    ("gap p99 ms", "gap_us.p99", 1e-3),
)
FACTS = (("cold start s", "cold_s"), ("idle MB", "idle_mb"), ("after load MB", "loaded_mb"))
ADDED = ("p50 ms", "p95 ms", "p99 ms", "first event ms")


def lines(results: Results, scenarios: Sequence[Scenario]) -> Iterator[str]:
    """The whole report. Figures are medians over the rounds; "+" is what a peer adds to asking directly."""
    for scenario in scenarios:
        if scenario.name in results.rounds:
            yield from _scenario(results, scenario)
    yield from _table("processes", [name for name, _ in FACTS], _facts(results))
    yield from _goals(results)
    for name, why in results.skipped.items():
        yield f"skipped: {name}: {why}"
    for what in dict.fromkeys(results.troubles):
        yield f"trouble: {what}"


def _scenario(results: Results, scenario: Scenario) -> Iterator[str]:
    peers = list(results.rounds[scenario.name])
    shown = [one for one in COLUMNS if any(results.get(peer, scenario.name, one[1]) is not None for peer in peers)]
    headings, rows = [], []
    for heading, _, _ in shown:
        headings += [heading, "+"] if heading in ADDED and "direct" in peers else [heading]
    for peer in peers:
        row = [peer]
        for heading, figure, scale in shown:
            value = results.get(peer, scenario.name, figure)
            row.append(number(value, scale))
            if heading in ADDED and "direct" in peers:
                base = results.get("direct", scenario.name, figure)
                row.append("" if value is None or base is None or peer == "direct" else number(value - base, scale))
        rows.append(row)
    yield from _table(f"{scenario.name}: {scenario.text}", headings, rows)


def _facts(results: Results) -> list[list[str]]:
    return [[peer, *(number(results.fact(peer, name)) for _, name in FACTS)] for peer in results.facts]


def _goals(results: Results) -> Iterator[str]:
    rows = []
    for goal in GOALS:
        value = goal.figure(results)
        bounds = [f"{'≥' if goal.at_least else '≤'} {bound(goal, one)}" for one in (goal.must, goal.goal)]
        rows.append([goal.text, "" if value is None else bound(goal, value), *bounds, goal.verdict(value)])
    yield from _table("goals of llmrouter", ["figure", "must", "goal", ""], rows)


def bound(goal: Goal, value: float) -> str:
    """A ratio below one reads better upside down."""
    if goal.unit != "×":
        return f"{number(value)} {goal.unit}"
    return f"1/{1 / value:.3g}" if 0 < value < 1 else f"{value:.3g}×"


def number(value: float | None, scale: float = 1.0) -> str:
    if value is None:
        return ""
    value *= scale
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _table(title: str, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    table = [["", *headings], *rows]
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    yield ""
    yield title
    for row in table:
        cells = [
            row[0].ljust(widths[0]),
            *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)),
        ]
        yield "  ".join(cells).rstrip()
