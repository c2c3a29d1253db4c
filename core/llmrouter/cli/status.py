"""`llmrouter status`: the first screen."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from . import render
from .remote import UNREACHABLE, ask, end, json_option, saved, url_option

if TYPE_CHECKING:
    from llmrouter.types import RequestRecord

MARKS = {"ok": "●", "disabled": "-", "limit": "○", "auth": "▲", "payment": "▲"}
WAITS = "◷"
HEAD = ["", "endpoint", "share", "state", "first token", "served", "failed", "tokens", "cost"]
SAVED = 1000

Status = Mapping[str, Any]


@click.command("status")
@url_option
@json_option
def command(url: str, as_json: bool) -> None:
    """What serves, what is held, what it costs: `llmrouter status`."""
    body = ask(url, "/admin/status")
    if body is None:
        status = from_records(saved(url, SAVED))
    else:
        try:
            status = json.loads(body)
        except ValueError:
            end(UNREACHABLE, f"what answers at {url} is no llmrouter")
    click.echo(json.dumps(status, ensure_ascii=False) if as_json else "\n".join(lines(status, time.time())))


def lines(status: Status, now: float) -> list[str]:
    endpoints: Sequence[Status] = status.get("endpoints", ())
    served = sum(one["served"] for one in endpoints)
    rows = [HEAD, *(_row(one, served, now) for one in endpoints)]
    return [*_top(status), "", *render.table(rows, frozenset({2, 4, 5, 6, 7, 8}))]


def from_records(records: Sequence[RequestRecord]) -> Status:
    """The same figures, from what a router that does not run has left. What was held is not known."""
    from llmrouter.engine.tally import Tally

    tally = Tally()
    for record in records:
        tally.record(record)
    endpoints = [
        {
            "endpoint": id,
            "state": "unknown",
            "until": None,
            "first_output": _first(id, records),
            "served": line.served,
            "failed": line.failed,
            "tokens": line.tokens,
            "cost": line.cost,
        }
        for id, line in tally.lines.items()
    ]
    return {**tally.snapshot(), "endpoints": endpoints}


def _first(endpoint: str, records: Sequence[RequestRecord]) -> float | None:
    """Seconds to the first output, in the middle of what was seen."""
    from llmrouter.types import Attempt

    seen = [
        step.first_output - step.started
        for record in records
        for step in record.steps
        if isinstance(step, Attempt) and step.endpoint == endpoint and step.first_output is not None
    ]
    return statistics.median(seen) if seen else None


def _top(status: Status) -> list[str]:
    requests, outcomes = status.get("requests", 0), status.get("outcomes", {})
    said = [f"{render.count(requests)} requests"]
    if requests:
        said.append(f"{render.percent(outcomes.get('complete', 0), requests)} answered")
    if under_way := status.get("under_way"):
        said.append(f"{under_way} under way")
    said.append(f"spent {render.usd(status.get('cost', 0.0))}")
    if unpriced := status.get("unpriced"):
        said.append(f"{unpriced} without a price")
    if "uptime" not in status:
        return [", ".join(said)]
    head = f"{status.get('source') or 'llmrouter'}, up {render.seconds(status['uptime'])}"
    return [head, ", ".join(said)]


def _row(one: Status, served: int, now: float) -> list[str]:
    state, until = one["state"], one.get("until")
    back = f", {render.seconds(max(0.0, until - now))}" if until and state not in ("ok", "disabled") else ""
    return [
        MARKS.get(state, WAITS if back else "?"),
        one["endpoint"],
        render.percent(one["served"], served) if one["served"] else "",
        state + back,
        render.seconds(one["first_output"]),
        render.count(one["served"]),
        render.count(one["failed"]),
        render.count(one["tokens"]),
        render.usd(one["cost"]) if one["served"] or one["cost"] else render.NOTHING,
    ]
