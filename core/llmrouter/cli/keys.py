"""`llmrouter keys`: keys that clients identify themselves with."""

from __future__ import annotations

import json
import re
import secrets

import click


@click.group("keys")
def command() -> None:
    """Make keys for clients."""


def _checked(context: click.Context, argument: click.Parameter, name: str) -> str:
    """A name that a configuration would not take is refused before a key is made for it."""
    from llmrouter.config import core_schema

    allowed = core_schema()["$defs"]["name"]
    if not re.fullmatch(allowed["pattern"], name):
        raise click.BadParameter(f"{name!r} is not {allowed['title']}, the first a letter or digit")
    return name


@command.command("create")
@click.argument("name", callback=_checked)
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def create(name: str, as_json: bool) -> None:
    """Make a key for the client NAME: `llmrouter keys create dev`.

    The key is shown this once and kept nowhere; the configuration holds its hash.
    """
    from llmrouter.server.auth import key_hash

    key = f"llmr-{secrets.token_urlsafe(32)}"
    entry = {"name": name, "hash": key_hash(key)}
    if as_json:
        click.echo(json.dumps({**entry, "key": key}))
        return
    click.echo(key)
    click.echo("The key above is shown only once. Under `server: keys:` in the configuration goes:", err=True)
    click.echo(f"- {{name: {json.dumps(name)}, hash: {json.dumps(entry['hash'])}}}")
