"""`llmrouter log`: the latest requests."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from . import render
from .remote import UNREACHABLE, ask, end, json_option, saved, url_option

if TYPE_CHECKING:
    from llmrouter.types import RequestRecord

EVERY = 1.0  # seconds between two looks
ASKED = 40  # characters shown of the name that a client sent
REACH = 200  # requests looked back at, so that a burst between two looks is not missed


@click.command("log")
@url_option
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 1000), help="How many.")
@click.option("--follow", "-f", is_flag=True, help="Go on with what comes.")
@json_option
def command(url: str, limit: int, follow: bool, as_json: bool) -> None:
    """The latest requests, the newest last: `llmrouter log --follow`.

    A line says: when, the name asked for, attempts (○ failed, ● served), who served, why it was chosen,
    tokens in and out, time to the first token, whole time, cost. With --follow, --json gives a line for each.
    """
    body = ask(url, f"/admin/requests?limit={limit}")
    records = saved(url, limit) if body is None else _decoded(body)
    _show(records, as_json, as_json and follow)
    if follow and body is not None:
        _follow(url, {record.facts.id for record in records}, as_json)


def _follow(url: str, seen: set[str], as_json: bool) -> None:
    while True:
        time.sleep(EVERY)
        body = ask(url, f"/admin/requests?limit={REACH}")
        if body is None:
            end(UNREACHABLE, f"the router at {url} went away")
        records = _decoded(body)
        _show([record for record in records if record.facts.id not in seen], as_json, as_json)
        seen |= {record.facts.id for record in records}


def _decoded(body: bytes) -> list[RequestRecord]:
    import msgspec

    from llmrouter.types import RequestRecord

    try:
        return msgspec.json.decode(body, type=dict[str, list[RequestRecord]])["requests"]
    except (msgspec.MsgspecError, KeyError):
        end(UNREACHABLE, "what answers there is no llmrouter, or one of another version")


def _show(records: Sequence[RequestRecord], as_json: bool, lines: bool) -> None:
    """Newest first is how they come; newest last is how they are read."""
    if as_json:
        _show_json(records, lines)
    elif rows := [_row(record) for record in reversed(records)]:
        click.echo("\n".join(render.table(rows, frozenset({5, 6, 7, 8}))))


def _show_json(records: Sequence[RequestRecord], lines: bool) -> None:
    import msgspec

    if not lines:
        click.echo(msgspec.json.encode({"requests": list(records)}))
    for record in reversed(records if lines else ()):
        click.echo(msgspec.json.encode(record))


def _served(said: Mapping[str, Any]) -> str:
    """Who served, and in brackets who did behind it, where that is told."""
    if said["served"]:
        return f"{said['served']} ({render.plain(said['via'], ASKED)})" if said["via"] else str(said["served"])
    given: dict[str, str] = {"hit": "cache", "shared": "another's answer"}
    return given.get(said["cache"]) or f"{said['outcome']} {said['status']}"


def _row(record: RequestRecord) -> list[str]:
    from llmrouter.logs import summary

    said: dict[str, Any] = summary(record)
    marks = "○" * len(said["failures"]) + ("●" if said["served"] else "")
    return [
        render.clock(record.facts.at),
        render.plain(said["asked"], ASKED),
        marks or render.NOTHING,
        _served(said),
        said["reason"] or render.NOTHING,
        f"{render.count(said['input_tokens'])} + {render.count(said['output_tokens'])}",
        render.seconds(said["ttft"]),
        render.seconds(said["duration"]),
        render.usd(said["cost"]),
    ]
