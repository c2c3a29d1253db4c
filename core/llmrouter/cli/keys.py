"""`llmrouter keys`: keys that clients identify themselves with."""

from __future__ import annotations

import json
import secrets

import click


@click.group("keys")
def command() -> None:
    """Make keys for clients."""


@command.command("create")
@click.argument("name")
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
    click.echo(f"- {{name: {json.dumps(name, ensure_ascii=False)}, hash: {json.dumps(entry['hash'])}}}")
