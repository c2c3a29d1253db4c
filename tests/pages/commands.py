"""docs/reference/commands.md: the command line, out of its click commands."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import click

from llmrouter import cli

from .markdown import GENERATED, cell, table

HEAD = f"""# Commands

{GENERATED}

Every command has `--help`. Exit codes: 0 fine, 1 no, 2 wrong usage, 3 the configuration or a plugin is not valid,
4 no router answers, 5 not allowed, 6 not found, 70 a bug of llmrouter, 130 interrupted.
"""


def walk(group: click.Group, path: str = "llmrouter") -> Iterator[tuple[str, click.Command]]:
    """Every command with its words: `llmrouter config check`."""
    context = click.Context(group)
    for name in group.list_commands(context):
        found = group.get_command(context, name)
        assert found is not None
        yield f"{path} {name}", found
        if isinstance(found, click.Group):
            yield from walk(found, f"{path} {name}")


def page() -> str:
    return "\n".join([HEAD, *(_command(path, found) for path, found in walk(cli.commands))])


def _command(path: str, found: click.Command) -> str:
    about = inspect.cleandoc(found.help or "")
    usage = " ".join([path, *found.collect_usage_pieces(click.Context(found))])
    lines = [f"{'#' * min(len(path.split()), 4)} `{path}`", "", about, "", f"```\n{usage}\n```", ""]
    options = [one for one in found.params if isinstance(one, click.Option) and not one.hidden]
    return "\n".join([*lines, table(("option", "meaning"), map(_option, options)) if options else ""])


def _option(option: click.Option) -> tuple[str, str]:
    names = ", ".join(f"`{name}`" for name in option.opts)
    value = "" if option.is_flag else f" {_value(option)}"
    default = f" Default: `{option.default}`." if option.show_default and option.default is not None else ""
    return names + value, cell(f"{option.help or ''}{default}")


def _value(option: click.Option) -> str:
    kind = option.type
    if isinstance(kind, click.IntRange):
        low, high = kind.min, kind.max
        return f"*number{f', {low}–{high}' if high is not None else f' ≥ {low}'}*"
    return "*file*" if isinstance(kind, click.Path) else f"*{kind.name}*"
