"""`llmrouter serve`."""

from __future__ import annotations

import asyncio
import errno
import gc
import json
import os
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from llmrouter.config import Loaded
    from llmrouter.server.runner import Server
    from llmrouter.settings import ServerSettings, Settings

NO, INVALID, INTERRUPTED = 1, 3, 130
ALONE = (sys.executable, "-m", "llmrouter")  # how a worker is started
SHOWN = 8  # names listed at the start


@click.command("serve")
@click.option("--config", "path", type=click.Path(path_type=Path, dir_okay=False), help="The configuration file.")
@click.option("--host", help="Where to listen. Default: `server.host`, 127.0.0.1.")
@click.option("--port", type=click.IntRange(0, 65535), help="Default: `server.port`, 4000; 0 takes a free one.")
@click.option("--workers", type=click.IntRange(1), help="Processes. Default: `server.workers`, 1.")
@click.option("--insecure", is_flag=True, help="Listen on other than loopback addresses without client keys.")
@click.option("--json", "as_json", is_flag=True, help="Say where it listens as JSON, on standard output.")
@click.option("--fd", type=int, hidden=True, help="A listening socket: this is a worker.")
def command(
    path: Path | None,
    host: str | None,
    port: int | None,
    workers: int | None,
    insecure: bool,
    as_json: bool,
    fd: int | None,
) -> None:
    """Serve the models of a configuration: `llmrouter serve --config llmrouter.yaml`.

    Without --config: $LLMROUTER_CONFIG, ./llmrouter.yaml, ~/.config/llmrouter/config.yaml, or else the API
    keys in the environment. Ctrl-C lets running answers finish; a second one does not.
    """
    loaded, settings = _load(path, host, port, workers)
    if fd is not None:
        raise SystemExit(_work(loaded, settings, socket.socket(fileno=fd), None))
    for warning in loaded.warnings:
        click.echo(f"warning: {warning}", err=True)
    _guard(settings, insecure)
    listener = _listen(settings.server)
    greeting = Greeting(settings, listener, as_json)
    if settings.server.workers == 1:
        raise SystemExit(_work(loaded, settings, listener, greeting))
    options = [("--config", path), ("--host", host), ("--port", port)]
    said = [str(word) for option in options if option[1] is not None for word in option]
    raise SystemExit(_supervise(settings, listener, said, greeting))


def _load(path: Path | None, host: str | None, port: int | None, workers: int | None) -> tuple[Loaded, Settings]:
    """The configuration, and its settings as the command line has changed them. Raises ConfigError."""
    from attrs import evolve

    from llmrouter import builtin
    from llmrouter.config import load

    loaded = load(path, os.environ, builtins=[(builtin, builtin.NAME)], require_plugins=True)
    server = loaded.settings.server
    server = evolve(
        server,
        host=server.host if host is None else host,
        port=server.port if port is None else port,
        workers=server.workers if workers is None else workers,
    )
    return loaded, evolve(loaded.settings, server=server)


def _guard(settings: Settings, insecure: bool) -> None:
    """Nobody is to spend the accounts of a router that was opened to a network by mistake."""
    from llmrouter.server.auth import is_loopback

    if is_loopback(settings.server.host) or settings.server.keys:
        return
    open_to = f"{settings.server.host} is open to other machines, and `server.keys` is empty: whoever reaches it "
    if insecure or settings.source == "demo":
        click.echo(f"warning: {open_to}can use it", err=True)
        return
    click.echo(f"{open_to}could spend your accounts. Make a key with `llmrouter keys create NAME`,", err=True)
    click.echo("listen on 127.0.0.1, or say --insecure if something in front of it checks who asks.", err=True)
    raise SystemExit(INVALID)


def _listen(server: ServerSettings) -> socket.socket:
    from llmrouter.server.runner import bind

    try:
        return bind(server.host, server.port)
    except OSError as error:
        place = f"{server.host}:{server.port}"
        if error.errno == errno.EADDRINUSE:
            click.echo(f"{place} is taken: another router runs there? Choose one with --port.", err=True)
        else:
            click.echo(f"cannot listen on {place}: {error.strerror or error}", err=True)
        raise SystemExit(NO) from None


def _work(loaded: Loaded, settings: Settings, listener: socket.socket, greeting: Greeting | None) -> int:
    """One process that serves. The parent of a worker holds the other end of its standard input."""
    from llmrouter.logs import logging_to
    from llmrouter.server.runner import loop_factory

    with logging_to(settings.logging), asyncio.Runner(loop_factory=loop_factory()) as runner:
        ended_by = runner.run(_serve(loaded, settings, listener, greeting))
    return INTERRUPTED if ended_by == signal.SIGINT else 0


async def _serve(loaded: Loaded, settings: Settings, listener: socket.socket, greeting: Greeting | None) -> int:
    from llmrouter.router import Router
    from llmrouter.server import create_app
    from llmrouter.server.runner import Server

    async with Router.open(settings, loaded.plugins) as router:
        names = [offer.id for offer in router.world.offers()]
        ready = (lambda: greeting.say(names)) if greeting else None
        server = Server(create_app(router), settings.server, ready)
        _settle_memory()
        if greeting is None:
            asyncio.get_running_loop().add_reader(sys.stdin.fileno(), _orphaned, server)
        return await server.run_on(listener)


def _settle_memory() -> None:
    """What is there now stays for good: the collector need not look at it, nor come for every 700 objects."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def _orphaned(server: Server) -> None:
    """Standard input has ended: the process that looked after this one is gone."""
    asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
    server.should_exit = True


def _supervise(settings: Settings, listener: socket.socket, options: Sequence[str], greeting: Greeting) -> int:
    from llmrouter.logs import logging_to
    from llmrouter.server.supervisor import Supervisor

    command = [*ALONE, "serve", "--fd", str(listener.fileno()), *options]
    greeting.say([*settings.groups, *settings.aliases])
    with logging_to(settings.logging):
        return asyncio.run(Supervisor(command, listener, settings.server.workers).run())


class Greeting:
    """What is said when it listens."""

    def __init__(self, settings: Settings, listener: socket.socket, as_json: bool) -> None:
        host, port = listener.getsockname()[:2]
        self._settings = settings
        self._as_json = as_json
        self._url = f"http://{f'[{host}]' if ':' in host else host}:{port}"

    def say(self, names: Sequence[str]) -> None:
        from llmrouter import __version__

        settings = self._settings
        if self._as_json:
            said = {"url": self._url, "pid": os.getpid(), "workers": settings.server.workers}
            click.echo(json.dumps({**said, "config": settings.source, "models": list(names)}))
            return
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        providers = ", ".join(settings.providers)
        click.echo(f"llmrouter {__version__} listens on {self._url} (configuration: {settings.source})", err=True)
        click.echo(f"serves {', '.join(names[:SHOWN])}{more} of {providers}".replace("  ", " "), err=True)
        click.echo(f"try: {self._curl(names)}", err=True)

    def _curl(self, names: Sequence[str]) -> str:
        key = ' -H "Authorization: Bearer $LLMROUTER_KEY"' if self._settings.server.keys else ""
        if not names:
            return f"curl{key} {self._url}/v1/models"
        body = json.dumps({"model": names[0], "messages": [{"role": "user", "content": "Hello"}]})
        return f"curl{key} {self._url}/v1/chat/completions -d '{body}'"
