"""`llmrouter catalogue`: what is known of models, made fresh."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .remote import NO, NOT_FOUND, end, json_option

if TYPE_CHECKING:
    from llmrouter.config import Loaded
    from llmrouter.discovery import Asked


@click.group("catalogue")
def command() -> None:
    """What is known of models."""


@command.command("refresh")
@click.option("--provider", "only", multiple=True, help="Only this provider; may be given several times.")
@click.option("--config", "path", type=click.Path(path_type=Path, dir_okay=False), help="The configuration file.")
@json_option
def refresh(only: Sequence[str], path: Path | None, as_json: bool) -> None:
    """Ask the providers for their lists of models now.

    A running router of the same state directory takes them in within seconds. Exits with 1 when a list could not
    be read; then the last one stays.
    """
    import asyncio

    from .offline import configured

    loaded = configured(path, os.environ, required=True)
    unknown = [name for name in only if name not in loaded.settings.providers]
    if unknown:
        end(NOT_FOUND, f"the provider {unknown[0]!r} is not configured")
    results = asyncio.run(_refresh(loaded, only))
    if as_json:
        click.echo(json.dumps({"providers": [_as_json(one) for one in results]}, ensure_ascii=False))
    if any(one.after.failures for one in results):
        raise SystemExit(NO)


async def _refresh(loaded: Loaded, only: Sequence[str]) -> list[Asked]:
    from llmrouter.discovery import ListFile, ask_all, can_list
    from llmrouter.state import state_dir

    from .offline import workshop

    state, results = state_dir(os.environ), []
    file, entries = ListFile(state), loaded.settings.providers
    async with workshop(loaded.plugins, state) as builder:
        providers = await builder.providers(loaded.settings)
        names = [name for name in can_list(providers) if not only or name in only]
        click.echo(f"asking {', '.join(names) or 'nobody: no provider here has a list of models'}", err=True)
        with file.alone(wait=True):
            listings = dict(file.read())
            async for asked in ask_all(names, providers, entries, listings, builder.context.clock):
                listings[asked.provider] = asked.after
                results.append(asked)
                click.echo(_line(asked), err=True)
            file.write(listings)
    return results


def _line(asked: Asked) -> str:
    from .render import plain

    said = _as_json(asked)
    if asked.after.failures:
        return plain(f"{asked.provider}: {asked.after.problem}", 500)
    return f"{asked.provider}: {said['models']} models, {said['new']} new, {said['gone']} gone"


def _as_json(asked: Asked) -> dict[str, Any]:
    before, after = ({one.model for one in listing.current} for listing in (asked.before, asked.after))
    return {
        "provider": asked.provider,
        "models": len(after),
        "new": len(after - before),
        "gone": len(before - after),
        "at": asked.after.at,
        "problem": asked.after.problem,
    }
