"""The command line. Nothing is imported here that a command may need: each lives in a module of its name."""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Mapping
from importlib import import_module
from typing import NoReturn

import click

COMMANDS: Mapping[str, Mapping[str, str]] = {
    "Start": {
        "serve": "Serve the models of a configuration.",
        "login": "Let the router into a provider with a browser.",
    },
    "Look": {
        "status": "What serves, what is held, what it costs.",
        "log": "The latest requests, one line each.",
    },
    "Understand": {"models": "Which models there are, and what they cost."},
    "Set up": {
        "config": "Check a configuration, and see what it means.",
        "keys": "Make keys for clients.",
        "plugins": "See what is installed, and whether it works.",
        "version": "Print the version.",
    },
    "Measure": {
        "chaos": "What becomes of requests when everything goes wrong.",
        "simulate": "Days of traffic and outages, played in seconds.",
        "catalogue": "What is known of models, made fresh.",
    },
}
EXAMPLE = """llmrouter serve --config llmrouter.yaml

A router in front of many LLM providers. Applications keep their SDK and change one base URL.
"""
MORE = "Plugins may bring more commands. Every command has --help and --json."

NO, INVALID, BUG, INTERRUPTED = 1, 3, 70, 130


class Commands(click.Group):
    """Imports a command when it is used, and asks plugins for what the core does not have."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for names in COMMANDS.values() for name in names]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in self.list_commands(ctx):
            found: click.Command = import_module(f"llmrouter.cli.{cmd_name}").command
            return found
        return self._of_plugins(cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            close = difflib.get_close_matches(args[0], [*self.list_commands(ctx), *self.commands], 1)
            ctx.fail(f"No such command {args[0]!r}." + (f" Did you mean {close[0]!r}?" if close else ""))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for task, names in COMMANDS.items():
            with formatter.section(task):
                formatter.write_dl(list(names.items()))

    def _of_plugins(self, name: str) -> click.Command | None:
        from llmrouter.plugins import Plugins

        Plugins.discover().commands(self)
        return self.commands.get(name)


def _say_version(context: click.Context, option: click.Parameter, wanted: bool) -> None:
    if wanted:
        from llmrouter import __version__

        click.echo(f"llmrouter {__version__}")
        context.exit()


@click.group(cls=Commands, help=EXAMPLE, epilog=MORE, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_say_version, help="Print the version."
)
def commands() -> None:
    pass


def main() -> NoReturn:
    """Run a command and exit with its code: 0 fine, 2 wrong usage, 3 configuration, 70 a bug, 130 interrupted."""
    try:
        code = commands.main(standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        code = INTERRUPTED
    except BrokenPipeError:  # whoever read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = NO
    except Exception as error:
        code = _failed(error)
    sys.exit(code if isinstance(code, int) else 0)


def _failed(error: Exception) -> int:
    from llmrouter.errors import LLMRouterError

    if isinstance(error, LLMRouterError):
        click.echo(str(error), err=True)
        return INVALID
    import traceback

    traceback.print_exception(error)
    click.echo("This is a bug of llmrouter. Please report it with the lines above.", err=True)
    return BUG
