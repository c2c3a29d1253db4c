"""`llmrouter plugins`: what is installed, and whether it works."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from llmrouter.plugins import Installed, Plugins

_COLUMNS = ("name", "kind", "version", "distribution", "state", "problem")

_file = click.option(
    "--config",
    "path",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The configuration whose `plugins.allow` and `plugins.disable` count.",
)
_json = click.option("--json", "as_json", is_flag=True, help="One JSON document.")


@click.group("plugins")
def command() -> None:
    """Look at the installed plugins."""


@command.command("list")
@_file
@_json
def list_(path: Path | None, as_json: bool) -> None:
    """List the installed plugins, without importing any."""
    plugins = _plugins(path)
    _print([_row(one, plugins, "") for one in plugins.installed()], as_json)


@command.command("doctor")
@_file
@_json
def doctor(path: Path | None, as_json: bool) -> None:
    """Import every installed plugin and say what is wrong with it. Exits with 1 when one is broken."""
    plugins = _plugins(path)
    rows = [_row(one, plugins, problem) for one, problem in plugins.doctor()]
    _print(rows, as_json)
    if any(row["state"] == "broken" for row in rows):
        raise SystemExit(1)


def _plugins(path: Path | None) -> Plugins:
    """As the configuration admits them; one that cannot be read is no reason to say nothing of plugins."""
    from llmrouter.config import discover, find, read
    from llmrouter.errors import ConfigError

    try:
        file = find(path, os.environ)
        document = read(file) if file else None
    except ConfigError as error:
        click.echo(f"warning: {error}", err=True)
        document = None
    return discover(document, os.environ)


def _row(one: Installed, plugins: Plugins, problem: str) -> dict[str, str]:
    kind = one.name.partition("-")[0] if one.on_demand else ""
    state = "on demand" if one.on_demand else "always"
    if not plugins.admits(one.name):
        state = "off"
    elif problem:
        state = "broken"
    return {
        "name": one.name,
        "kind": kind,
        "version": one.version,
        "distribution": one.distribution,
        "state": state,
        "problem": problem,
    }


def _print(rows: Sequence[dict[str, str]], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"plugins": list(rows)}, indent=2, ensure_ascii=False))
        return
    table = [_COLUMNS, *(tuple(row[column] for column in _COLUMNS) for row in rows)]
    widths = [max(len(line[place]) for line in table) for place in range(len(_COLUMNS))]
    for line in table:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        click.echo("  ".join(cells).rstrip())
