"""The mock upstream and the load generator: C, so that they are never what is measured."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attrs import frozen

from .processes import TOOLS_CORE, Process, free_port

SOURCES = Path(__file__).with_name("tools")


@frozen
class Target:
    """Where a gateway is asked for something, and how it wants to be told what."""

    port: int
    path: str
    model: str = "mock-model"
    headers: Mapping[str, str] = {}


@frozen(kw_only=True)
class Load:
    """A closed loop. `requests` above 0 ends it after that many; `mark` is in every good answer."""

    connections: int
    seconds: float
    warm_up: float = 0.3
    requests: int = 0
    mark: str


def compiled(name: str, folder: Path) -> Path:
    """The tool, compiled if it is older than its source. Raises CalledProcessError when gcc refuses."""
    source, tool = SOURCES / f"{name}.c", folder / name
    if not tool.exists() or tool.stat().st_mtime < source.stat().st_mtime:
        subprocess.run(["gcc", "-O2", "-Wall", "-Wextra", "-Werror", "-o", tool, source], check=True)
    return tool


@contextmanager
def mock(folder: Path) -> Iterator[int]:
    """A running upstream; gives its port."""
    port = free_port()
    process = Process([compiled("mock", folder), str(port)], TOOLS_CORE, folder / "mock.log")
    try:
        time.sleep(0.2)
        yield port
    finally:
        process.stop()


def run_load(tool: Path, target: Target, body: Path, load: Load) -> dict[str, Any]:
    """Load a target and tell how its requests fared; see tools/load.c."""
    numbers = [load.connections, load.seconds, load.warm_up, load.requests]
    headers = [f"{name}: {value}" for name, value in target.headers.items()]
    command = ["taskset", "-c", TOOLS_CORE, tool, target.port, target.path, body, load.mark, *numbers, *headers]
    limit = load.seconds + load.warm_up + 60
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, timeout=limit, check=True
    )
    result: dict[str, Any] = json.loads(done.stdout)
    return result
