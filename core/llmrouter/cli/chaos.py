"""`llmrouter chaos`: what if everything that can go wrong does."""

from __future__ import annotations

import asyncio
import json
import os
import random
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import click

from llmrouter.settings import Profile

from . import render
from .remote import json_option

if TYPE_CHECKING:
    from llmrouter.chaos import Card, Result
    from llmrouter.config import Loaded

NO = 1
MARKS = {"pass": "●", "partial": "◐", "safe failure": "○", "fail": "✗"}
HEAD = ["", "fault", "shape", "verdict", "time", "tried", "why"]
TIME, TRIED = 4, 5
MANY = 1_000_000


@click.command("chaos")
@click.option("--config", "path", type=click.Path(path_type=Path, dir_okay=False), help="The configuration file.")
@click.option("--profile", type=click.Choice(get_args(Profile)), help="Instead of `engine.profile`.")
@click.option("--fault", "faults", multiple=True, help="Only this one; may be given several times.")
@click.option("--group", "groups", multiple=True, help="Only this group; may be given several times.")
@click.option("--list", "listing", is_flag=True, help="Show the faults.")
@click.option("--repeat", type=click.IntRange(1), default=1, show_default=True, help="How often each is played.")
@click.option("--copies", type=click.IntRange(1, 200), default=1, show_default=True, help="Requests at once.")
@click.option("--seed", type=int, help="Of the order. Default: a new one, which is shown.")
@json_option
def command(
    path: Path | None,
    profile: str | None,
    faults: Sequence[str],
    groups: Sequence[str],
    listing: bool,
    repeat: int,
    copies: int,
    seed: int | None,
    as_json: bool,
) -> None:
    """Play every fault an upstream can have against a configuration: `llmrouter chaos --profile resilient`.

    Every provider is pointed at a scripted upstream on this machine: no key is used, and nobody is asked. The first
    member of each group gets the fault, the others are well. Without a configuration there is a built-in one of
    three peers and a fallback. Exits with 1 when a client got something wrong, or nothing at all.
    """
    from llmrouter.chaos import Options, chosen, run
    from llmrouter.server.runner import loop_factory

    scenarios = chosen(faults)
    if listing:
        said = [{"name": one.name, "about": one.about, "shapes": one.shapes} for one in scenarios]
        rows = [[one.name, one.about] for one in scenarios]
        return click.echo(json.dumps(said) if as_json else "\n".join(render.table(rows)))
    loaded = _load(path, profile)
    options = Options(
        scenarios=scenarios,
        groups=groups,
        repeat=repeat,
        copies=copies,
        seed=random.randrange(MANY) if seed is None else seed,
    )
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        card = runner.run(run(loaded.settings, loaded.plugins, options, lambda line: click.echo(line, err=True)))
    click.echo(json.dumps(card.as_json(), ensure_ascii=False) if as_json else "\n".join(lines(card)))
    if card.failed:
        raise SystemExit(NO)
    return None


def _load(path: Path | None, profile: str | None) -> Loaded:
    """The configuration, or else the demonstration. Keys need not be there: none is used. Raises ConfigError."""
    from llmrouter import builtin
    from llmrouter.chaos import plugin
    from llmrouter.chaos.demo import demo
    from llmrouter.config import find, load

    with tempfile.TemporaryDirectory(prefix="llmrouter-chaos-") as folder:
        found = find(path, os.environ)
        if found is None:
            found = Path(folder, "demo.yaml")
            found.write_text(demo(), "utf-8")
        return load(
            found,
            os.environ,
            builtins=[(builtin, builtin.NAME), (plugin, plugin.NAME)],
            require_plugins=True,
            require_variables=False,
            over={"engine": {"profile": profile}} if profile else None,
        )


def lines(card: Card) -> Iterator[str]:
    """The scorecard."""
    worst = card.worst()
    groups = dict.fromkeys(one.group for one in worst)
    for group in groups:
        yield f"{group} (profile {card.profiles[group]})"
        yield from render.table(
            [HEAD, *(_row(one) for one in worst if one.group == group)], frozenset({TIME, TRIED})
        )
        yield ""
    counts = ", ".join(f"{count} {verdict}" for verdict, count in card.counts().items())
    yield f"{counts}; in {render.seconds(card.seconds)}, with seed {card.seed}"
    if card.pace > 1:
        yield f"time-outs were divided by {card.pace:.0f} for this run: their ratios are those of the configuration"
    yield "members were tried in the order of the configuration; its limits, cache, keys and stores were left out"
    for name in card.stand_ins:
        yield f"provider {name}: cannot be pointed at another address, so a stand-in played it"
    for member in card.absent:
        yield f"{member}: left out, it serves no chat"
    for name, why in card.skipped.items():
        yield f"fault {name}: left out, {why}"


def _row(one: Result) -> list[str]:
    why = one.why if one.verdict == "fail" else one.excuse or one.why
    return [
        MARKS[one.verdict],
        one.fault,
        one.shape,
        one.verdict,
        render.seconds(one.seconds),
        str(len(one.attempts)),
        why or _ended(one.attempts),
    ]


def _ended(attempts: Sequence[str]) -> str:
    """How the answer came about: every failure, and who served."""
    return ", ".join(attempts)
