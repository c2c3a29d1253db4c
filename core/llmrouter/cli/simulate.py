"""`llmrouter simulate`: days of traffic, played in virtual time."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from . import render

HEAD = ["endpoint", "calls", "failed", "served", "share", "cost", "most common failures"]
SHOWN = 3  # classes of failures of an endpoint
NO_REQUESTS = "no request arrived: play more days, or more requests a day"

Figures = Mapping[str, Any]


@click.command("simulate")
@click.option("--config", "config", type=click.Path(path_type=Path, dir_okay=False), help="The configuration file.")
@click.option("--trace", "trace", type=click.Path(path_type=Path, dir_okay=False), help="The trace file.")
@click.option("--days", type=click.FloatRange(0, min_open=True), help="Cut the trace short after so many days.")
@click.option(
    "--seed", default=0, show_default=True, type=click.IntRange(0), help="The same gives the same report."
)
@click.option(
    "--seeds", default=1, show_default=True, type=click.IntRange(1), help="How many, counted from --seed."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def command(
    config: Path | None, trace: Path | None, days: float | None, seed: int, seeds: int, as_json: bool
) -> None:
    """Play days of traffic: `llmrouter simulate --config llmrouter.yaml --trace trace.yaml`.

    Every provider is stood in for by one that answers, fails and is away as the trace says; the rest is the router
    as it serves. Nothing is called, billed or kept, no key is needed, and a week takes about a minute.
    Without --config: as for `serve`. Without --trace: a week that fits every configuration.
    """
    from llmrouter.simulation import Task, play_all, summary

    task = Task(config, trace, days)
    reports = play_all(task, range(seed, seed + seeds), _progress())
    found = summary(reports)
    if as_json:
        click.echo(json.dumps(found, ensure_ascii=False))
    else:
        click.echo("\n".join(lines(found)))


def _progress() -> Callable[[float], None]:
    """On a terminal: how much is played. It is gone when all of it is."""
    if not sys.stderr.isatty():
        return lambda share: None

    def tell(share: float) -> None:
        click.echo("\r\x1b[K" if share >= 1 else f"\r{100 * share:.0f} % played", nl=False, err=True)

    return tell


def lines(found: Figures) -> Sequence[str]:
    """The worst run in full, and above it what several come to."""
    worst = next(run for run in found["runs"] if run["seed"] == found["worst"]["seed"])
    if not worst["requests"]:
        return [NO_REQUESTS]
    several = [_several(found), ""] if found["seeds"] > 1 else []
    return [*several, *_top(worst), "", *_table(worst)]


def _several(found: Figures) -> str:
    worst, requests = found["worst"], render.count(found["requests"])
    return (
        f"{found['seeds']} seeds, {requests} requests: {_share(found['availability'])} answered; "
        f"the worst is seed {worst['seed']} with {_share(worst['availability'])}:"
    )


def _top(run: Figures) -> Sequence[str]:
    others = [f"{count} {name}" for name, count in run["outcomes"].items() if count and name != "answered"]
    said = [f"{run[name]} {name}" for name in ("switches", "repeats", "hedges", "probes", "rescues") if run[name]]
    requests, wasted = render.count(run["requests"]), run["wasted"]
    calls = f"{render.count(run['calls'])} calls, {run['calls_per_request']:.3f} a request"
    nothing = f"of it {render.usd(wasted['cost'])} on {wasted['calls']} calls for nothing"
    return [
        _joined(f"{requests} requests in {run['days']:g} days, {_share(run['availability'])} answered", others),
        f"whole answer: {_times(run['latency'])}",
        f"first token: {_times(run['first_output'])}",
        _joined(calls, said),
        f"spent {render.usd(run['cost'])}, {nothing}",
        *_remarks(run),
    ]


def _joined(head: str, more: Sequence[str]) -> str:
    return f"{head}; {', '.join(more)}" if more else head


def _remarks(run: Figures) -> Sequence[str]:
    queued, unpriced = run["queued"], run["unpriced_calls"]
    waits = f"{queued['requests']} requests waited for a limit, {render.seconds(queued['seconds'])} together"
    prices = f"{unpriced} calls have no known price: they are not in the sums"
    return [line for line, told in ((waits, queued["requests"]), (prices, unpriced)) if told]


def _table(run: Figures) -> Sequence[str]:
    rows = [HEAD, *(_row(name, one) for name, one in run["endpoints"].items())]
    return render.table(rows, frozenset({1, 2, 3, 4, 5}))


def _row(name: str, one: Figures) -> list[str]:
    failures: Mapping[str, int] = one["failures"]
    common = sorted(failures.items(), key=lambda item: -item[1])[:SHOWN]
    return [
        name,
        render.count(one["calls"]),
        render.count(sum(failures.values())),
        render.count(one["served"]),
        render.percent(one["share"], 1),
        render.usd(one["cost"]),
        ", ".join(f"{kind} {count}" for kind, count in common),
    ]


def _times(percentiles: Figures) -> str:
    return ", ".join(f"{name} {render.seconds(value)}" for name, value in percentiles.items())


def _share(share: float) -> str:
    """Three digits below a percent: the difference between three and five nines."""
    return f"{100 * share:.3f} %"
