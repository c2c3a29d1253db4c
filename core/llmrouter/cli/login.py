"""`llmrouter login`: a key for a provider, without copying one."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .remote import NO, end, json_option

if TYPE_CHECKING:
    from llmrouter.config import Loaded
    from llmrouter.settings import ProviderSettings


@click.command("login")
@click.argument("provider")
@click.option("--no-browser", is_flag=True, help="Only show the address to open.")
@click.option("--env", "variable", metavar="NAME", help="Write NAME=key into the .env beside the configuration.")
@click.option("--config", "path", type=click.Path(path_type=Path, dir_okay=False), help="The configuration file.")
@json_option
def command(provider: str, no_browser: bool, variable: str | None, path: Path | None, as_json: bool) -> None:
    """Let the router into a provider with a browser: `llmrouter login openrouter`.

    PROVIDER is one of the configuration, or a plugin. The key is shown nowhere: it goes into a file of the state
    directory that only this user may read, and the configuration refers to that file.
    """
    import asyncio

    from llmrouter.credentials import in_dotenv, in_file
    from llmrouter.state import state_dir

    from .offline import configured

    loaded, state = configured(path, os.environ, required=False), state_dir(os.environ)
    entry = _entry(loaded, provider)
    key = asyncio.run(_login(loaded, entry, state, not no_browser))
    source = Path(loaded.settings.source)
    folder = source.parent if source.is_file() else Path()
    reference = in_dotenv(folder, variable, key) if variable else in_file(state, provider, key)
    if as_json:
        click.echo(json.dumps({"provider": provider, "plugin": entry.plugin, "api_key": reference}))
        return
    click.echo("The key is kept. Unless it is there, this goes under `providers:` in the configuration:", err=True)
    click.echo(f"{provider}: {{plugin: {entry.plugin}, api_key: {json.dumps(reference)}}}")
    click.echo("Then: llmrouter serve", err=True)


def _entry(loaded: Loaded, provider: str) -> ProviderSettings:
    """As it is configured, else the plugin of that name as it comes. Raises PluginError where there is none."""
    found = loaded.settings.providers.get(provider)
    if found is None:
        made: ProviderSettings = loaded.plugins.get("provider", provider).config(name=provider, plugin=provider)
        return made
    return found


async def _login(loaded: Loaded, entry: ProviderSettings, state: Path, open_browser: bool) -> str:
    from llmrouter.errors import LLMRouterError
    from llmrouter.protocols import SupportsLogin

    from .offline import workshop

    async with workshop(loaded.plugins, state) as builder:
        built = await builder.build(loaded.plugins.get("provider", entry.plugin), entry, entry.name)
        if not isinstance(built, SupportsLogin):
            end(NO, f"{entry.name} has no login: make a key on its site, and write it into `api_key`")
        try:
            return await built.login(lambda text: click.echo(text, err=True), open_browser)
        except LLMRouterError as error:
            end(NO, f"{entry.name}: {error}")
