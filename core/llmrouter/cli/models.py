"""`llmrouter models`: which models there are, what they can do, and what they cost."""

from __future__ import annotations

import difflib
import os
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

import click

from . import render
from .remote import LOCAL, NO, NOT_FOUND, UNREACHABLE, ask, end, json_option, url_option

if TYPE_CHECKING:
    from llmrouter.discovery.told import Row, Told
    from llmrouter.types import Price

HEAD = ("model", "window", "in", "out", "abilities", "state")
WIDE = 40  # characters of the abilities
UNKNOWN = render.usd(None)
UNITS = {"": 1, "k": 1_000, "m": 1_000_000}


class Wanted(NamedTuple):
    """Which models are to be shown."""

    free: bool
    context: int
    tools: bool
    provider: str | None
    author: str | None

    def takes(self, row: Row) -> bool:
        from llmrouter.catalogue.prices import free

        return (
            not (self.free and not (row.price and free(row.price)))
            and not (self.context and (row.context_window or 0) < self.context)
            and not (self.tools and "tools" not in (row.abilities or ()))
            and self.provider in (None, row.provider)
            and self.author in (None, row.author)
        )


def _tokens(context: click.Context, option: click.Parameter, text: str | None) -> int:
    """`200000`, `200k` or `1M`."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([kKmM]?)", text or "0")
    if not found:
        raise click.BadParameter(f"{text!r} is no number of tokens, such as 128k or 1M")
    return int(float(found[1]) * UNITS[found[2].lower()])


@click.command("models")
@click.argument("verb", type=click.Choice(["search", "show"]), required=False)
@click.argument("text", required=False)
@click.option("--free", is_flag=True, help="Only those that cost nothing.")
@click.option(
    "--context", metavar="TOKENS", callback=_tokens, help="Only with a window of this many tokens, such as 128k."
)
@click.option("--tools", is_flag=True, help="Only those that call tools.")
@click.option("--provider", help="Only of this provider.")
@click.option("--author", help="Only of this author: the first word of an id such as author/model.")
@url_option
@click.option(
    "--config", "path", type=click.Path(path_type=Path, dir_okay=False), help="The file, where no router runs."
)
@json_option
def command(verb: str | None, text: str | None, url: str, path: Path | None, as_json: bool, **wanted: Any) -> None:
    """Which models there are: `llmrouter models search coder --free --tools --context 128k`.

    Shown are the context window, the price of a million tokens in and out, and the state: listed by its provider,
    configured here, unlisted (configured, and its provider does not list it), gone (no longer listed), or why it
    is held. `show` and an id tell all that is known of one. Where no router runs they come from the configuration
    and the last copy of the providers' lists.
    """
    if verb and not text:
        raise click.UsageError(f"{verb} needs a text: llmrouter models {verb} TEXT")
    told = _told(url, path)
    if verb == "show":
        _show(told.models, text or "", as_json)
    else:
        _list(told, Wanted(**wanted), text or "", as_json)


def _show(rows: Sequence[Row], id: str, as_json: bool) -> None:
    """By its id, or by the part after its provider."""
    import msgspec

    found = [row for row in rows if id == row.id] or [row for row in rows if id == row.model]
    if not found:
        close = difflib.get_close_matches(id, [name for row in rows for name in (row.id, row.model)], 1)
        end(NOT_FOUND, f"there is no model {id!r}." + (f" Did you mean {close[0]!r}?" if close else ""))
    if as_json:
        click.echo(msgspec.json.encode({"models": found}))
    else:
        click.echo("\n\n".join("\n".join(render.table(_whole(row))) for row in found))


def _list(told: Told, wanted: Wanted, text: str, as_json: bool) -> None:
    import msgspec

    rows = [row for row in told.models if wanted.takes(row) and text.lower() in row.id.lower()]
    if as_json:
        click.echo(msgspec.json.encode({"models": rows, "providers": told.providers}))
    elif rows:
        click.echo("\n".join(render.table([HEAD, *map(_row, rows)], frozenset({1, 2, 3}))))
    else:
        end(NO, f"none of {len(told.models)} models is like that")


def _told(url: str, path: Path | None) -> Told:
    """As the running router tells, else as it would tell if it ran."""
    import msgspec

    from llmrouter.discovery.told import Told

    body = ask(url, "/admin/models")
    if body is None:
        return _saved(url, path)
    try:
        return msgspec.json.decode(body, type=Told)
    except msgspec.MsgspecError:
        end(UNREACHABLE, f"what answers at {url} is no llmrouter, or one of another version")


def _saved(url: str, path: Path | None) -> Told:
    if urlsplit(url).hostname not in LOCAL:
        end(UNREACHABLE, f"no router answers at {url}")
    from .offline import told

    found = told(path, os.environ)
    ages = [f"{one.provider} {render.seconds(time.time() - one.at)} old" for one in found.providers if one.at]
    said = ", ".join(ages) or "none yet: `llmrouter catalogue refresh` reads them"
    click.echo(f"no router answers at {url}; from the configuration and saved lists ({said})", err=True)
    return found


def _row(row: Row) -> Sequence[str]:
    return (
        row.id,
        render.NOTHING if row.context_window is None else render.count(row.context_window),
        render.usd(row.price.input if row.price else None),
        render.usd(row.price.output if row.price else None),
        render.plain(", ".join(row.abilities or ()), WIDE) or render.NOTHING,
        row.state,
    )


def _whole(row: Row) -> list[tuple[str, str]]:
    return [
        ("model", row.id),
        ("state", row.state),
        ("author", row.author),
        ("context window", _tokens_of(row.context_window)),
        ("longest answer", _tokens_of(row.max_output)),
        *_prices(row.price),
        ("abilities", render.NOTHING if row.abilities is None else ", ".join(row.abilities)),
        ("quality", f"{row.quality:g}"),
    ]


def _tokens_of(count: int | None) -> str:
    return render.NOTHING if count is None else f"{count:,} tokens"


def _prices(price: Price | None) -> list[tuple[str, str]]:
    if price is None:
        return [("price", UNKNOWN)]
    tokens = ("input", "output", "cache read", "cache write", "cache write 1h")
    rows = [(name, _rate(getattr(price, name.replace(" ", "_")))) for name in tokens]
    rows += [
        (name, render.usd(getattr(price, name.replace(" ", "_")) or None)) for name in ("request", "web search")
    ]
    rows += [
        (f"from {render.count(one.prompt)} tokens", f"{_rate(one.input)}, {_rate(one.output)}")
        for one in price.tiers
    ]
    return [(f"price, {name}", said) for name, said in rows if said != UNKNOWN]


def _rate(price: float | None) -> str:
    return f"{render.usd(price)} per million tokens" if price else render.usd(price)
