"""A running router, or else what the last one left in its state."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import urlsplit

import click

if TYPE_CHECKING:
    from llmrouter.types import RequestRecord

HERE = "http://127.0.0.1:4000"
LOCAL = ("127.0.0.1", "localhost", "::1")
PATIENCE = 5.0  # seconds
NO, UNREACHABLE, NOT_ALLOWED, NOT_FOUND = 1, 4, 5, 6


def _with_scheme(context: click.Context, option: click.Parameter, url: str) -> str:
    return url if "://" in url else f"http://{url}"


url_option = click.option(
    "--url",
    envvar="LLMROUTER_URL",
    default=HERE,
    show_default=True,
    callback=_with_scheme,
    help="Where the router runs. Without it: $LLMROUTER_URL.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON document.")


def ask(url: str, path: str) -> bytes | None:
    """What the router says; None when there is none. Anything but an answer ends the command."""
    from http.client import HTTPConnection, HTTPException, HTTPSConnection

    place = urlsplit(url)
    kind = HTTPSConnection if place.scheme == "https" else HTTPConnection
    key = os.environ.get("LLMROUTER_ADMIN_KEY")
    try:
        connection = kind(place.netloc, timeout=PATIENCE)
        try:
            headers = {"authorization": f"Bearer {key}"} if key else {}
            connection.request("GET", place.path.rstrip("/") + path, headers=headers)
            response = connection.getresponse()
            status, body = response.status, response.read()
        finally:
            connection.close()
    except (OSError, HTTPException, ValueError):
        return None
    if status in (401, 403):
        end(NOT_ALLOWED, f"{url} does not let you look: set LLMROUTER_ADMIN_KEY to its `server.admin_key`")
    if status == 404:
        end(NOT_FOUND, f"what answers at {url} is no llmrouter")
    if status != 200:
        end(NO, f"{url} answered with status {status}")
    return body


def saved(url: str, limit: int) -> list[RequestRecord]:
    """The requests in the state directory, for a router of this machine that does not run."""
    from llmrouter.engine.journal import read
    from llmrouter.state import state_dir

    path = state_dir(os.environ) / "state.db"
    if urlsplit(url).hostname not in LOCAL or not path.exists():
        end(
            UNREACHABLE,
            f"no router answers at {url}: start one (`llmrouter serve`), or say where it is (--url)",
        )
    click.echo(f"no router answers at {url}; from saved state ({path})", err=True)
    return read(path, limit)


def end(code: int, why: str) -> NoReturn:
    click.echo(why, err=True)
    raise SystemExit(code)
