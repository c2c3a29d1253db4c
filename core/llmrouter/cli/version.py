"""`llmrouter version`."""

from __future__ import annotations

import json

import click


@click.command("version")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def command(as_json: bool) -> None:
    """Print the version."""
    from llmrouter import __version__

    click.echo(json.dumps({"version": __version__}) if as_json else f"llmrouter {__version__}")
