"""`llmrouter config`: what is wrong with a configuration, what it means, and what may be written in one."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from llmrouter.errors import Problem

INVALID = 3
"""Exit code: the configuration is not valid."""

_file = click.option(
    "--config",
    "path",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The file. Default: $LLMROUTER_CONFIG, ./llmrouter.yaml, ~/.config/llmrouter/config.yaml.",
)
_json = click.option("--json", "as_json", is_flag=True, help="One JSON document.")


@click.group("config")
def command() -> None:
    """Look at the configuration."""


@command.command("check")
@_file
@click.option("--strict", is_flag=True, help="Warnings are errors.")
@_json
def check(path: Path | None, strict: bool, as_json: bool) -> None:
    """Say everything that is wrong with a configuration.

    Variables that are not set and plugins that are not installed are warnings here: `serve` needs them.
    Exits with 3 when there is an error.
    """
    from llmrouter.config import load
    from llmrouter.errors import ConfigError, LLMRouterError, Problem

    problems: tuple[Problem, ...]
    source = str(path or "")
    try:
        loaded = load(path, os.environ, builtins=_builtins(), require_variables=False)
        problems, source = loaded.warnings, loaded.settings.source
    except ConfigError as error:
        problems = error.problems
    except LLMRouterError as error:
        problems = (Problem(message=str(error)),)
    bad = [one for one in problems if strict or not one.warning]
    if as_json:
        _print_json({"source": source, "valid": not bad, "problems": [_as_json(one) for one in problems]})
    else:
        _tell(problems, source, bool(bad))
    if bad:
        raise SystemExit(INVALID)


@command.command("show")
@_file
@_json
@click.option(
    "--effective/--written",
    default=True,
    help="With every default and what `engine.profile` means, or only what is written.  [default: effective]",
)
def show(path: Path | None, as_json: bool, effective: bool) -> None:
    """Print the configuration, secrets as “…”: as it takes effect, profile and defaults filled in."""
    from llmrouter import config

    reading = config.look(path, os.environ, builtins=_builtins(), require_variables=False)
    click.echo(f"from {reading.document.file}", err=True)
    document = config.effective(reading, whole=effective)
    if as_json:
        _print_json(document)
    else:
        click.echo(config.dump(document), nl=False)


@command.command("schema")
def schema() -> None:
    """Print the JSON Schema of a configuration, with the keys of every installed plugin."""
    from llmrouter.config import compose_installed
    from llmrouter.plugins import Plugins

    plugins = Plugins.discover()
    for module, name in _builtins():
        plugins.register(module, name)
    composed, broken = compose_installed(plugins)
    for problem in broken:
        click.echo(f"left out: {problem}", err=True)
    _print_json(composed)


def _builtins() -> list[tuple[object, str]]:
    from llmrouter import builtin

    return [(builtin, builtin.NAME)]


def _tell(problems: tuple[Problem, ...], source: str, bad: bool) -> None:
    for one in problems:
        click.echo(f"{'warning' if one.warning else 'error'}: {one}")
    errors = sum(not one.warning for one in problems)
    counts = f"errors: {errors}, warnings: {len(problems) - errors}"
    click.echo(f"{source + ' ' if source else ''}is {'not ' if bad else ''}valid ({counts})", err=True)


def _as_json(problem: Problem) -> dict[str, Any]:
    import attrs

    return attrs.asdict(problem)


def _print_json(document: Mapping[str, Any]) -> None:
    click.echo(json.dumps(document, indent=2, ensure_ascii=False))
