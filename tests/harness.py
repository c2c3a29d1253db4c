"""A whole router on a loopback socket, in a thread or in a process of its own."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from attrs import define, evolve

from llmrouter import builtin
from llmrouter.config import load
from llmrouter.protocols import Clock
from llmrouter.router import Router
from llmrouter.server import create_app
from llmrouter.server.runner import Server, bind
from llmrouter.settings import CatalogueSettings
from tests.calling import TIMEOUT, Caller


@define(eq=False)
class Serving(Caller):
    """A running router. `router` and `loop` are there when it runs in a thread of this process."""

    router: Any = None
    loop: asyncio.AbstractEventLoop | None = None

    def tasks(self) -> int:
        """Tasks alive on the router's loop."""
        assert self.loop is not None
        return asyncio.run_coroutine_threadsafe(_count_tasks(), self.loop).result(TIMEOUT)


@contextmanager
def serving(
    config: str | None, environ: Mapping[str, str] | None = None, clock: Clock | None = None
) -> Iterator[Serving]:
    """A router with this configuration (YAML), on a port of its own, in a thread with a loop of its own.

    With None it starts as it does where there is neither a configuration nor a key. It asks nobody for a list of
    models, unless its configuration says how often: most tests count what their upstreams are asked.
    """
    with tempfile.TemporaryDirectory() as folder, bind("127.0.0.1", 0) as listening:
        path = Path(folder, "llmrouter.yaml") if config is not None else None
        if path and config:
            path.write_text(config)
        served = Serving(f"http://127.0.0.1:{listening.getsockname()[1]}")
        up, stop = threading.Event(), asyncio.Event()
        failed: list[BaseException] = []

        def main() -> None:
            try:
                asyncio.run(
                    _serve(
                        path, {"LLMROUTER_STATE_DIR": folder, **(environ or {})}, clock, listening, served, up, stop
                    )
                )
            except BaseException as error:  # handed to the test's own thread
                failed.append(error)
                up.set()

        thread = threading.Thread(target=main, name="router")
        thread.start()
        try:
            assert up.wait(TIMEOUT), "the router did not come up"
            if not failed:
                yield served
        finally:
            served.close_all()
            if served.loop and not served.loop.is_closed():
                served.loop.call_soon_threadsafe(stop.set)
            thread.join(TIMEOUT)
        if failed:
            raise failed[0]
        assert not thread.is_alive(), "the router did not end"


async def _serve(
    path: Path | None,
    environ: Mapping[str, str],
    clock: Clock | None,
    listening: socket.socket,
    served: Serving,
    up: threading.Event,
    stop: asyncio.Event,
) -> None:
    loaded = load(path, environ, builtins=[(builtin, builtin.NAME)], require_plugins=True)
    settings = loaded.settings
    if path and "catalogue" not in path.read_text():
        settings = evolve(settings, catalogue=CatalogueSettings(refresh=None))
    state = Path(environ["LLMROUTER_STATE_DIR"])
    async with Router.open(settings, loaded.plugins, clock=clock, state=state) as router:
        served.loop, served.router = asyncio.get_running_loop(), router
        server = Server(create_app(router), settings.server, up.set, signals=False)
        running = asyncio.create_task(server.serve([listening]))
        stopped = asyncio.create_task(stop.wait())
        await asyncio.wait((running, stopped), return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        server.should_exit = True
        await running


async def _count_tasks() -> int:
    return len(asyncio.all_tasks())


@contextmanager
def process(config: str, *options: str, environ: Mapping[str, str] | None = None) -> Iterator[Serving]:
    """A router with this configuration, started by the command line in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "llmrouter.yaml")
        path.write_text(config)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = str(probe.getsockname()[1])
        served = Serving(f"http://127.0.0.1:{port}")
        command = [sys.executable, "-m", "llmrouter", "serve", "--config", str(path), "--port", port, *options]
        env = {**os.environ, "LLMROUTER_STATE_DIR": folder, **(environ or {})}
        with (
            Path(folder, "log").open("wb") as log,
            subprocess.Popen(command, env=env, stdout=log, stderr=log) as running,
        ):
            try:
                _await_ready(int(port), running, Path(folder, "log"))
                yield served
            finally:
                served.close_all()
                running.terminate()
                running.wait(TIMEOUT)


def _await_ready(port: int, running: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(int(TIMEOUT / 0.05)):
        if running.poll() is not None:
            break
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        with suppress(subprocess.TimeoutExpired):
            running.wait(0.05)
    raise AssertionError(f"the router did not come up: {log.read_text()}")
