"""A client as its page says: in a home of its own, with nothing to reach but this machine, and nothing left."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from attrs import frozen

from tests.pages.blocks import ROOT, Block, blocks

from . import installing
from .recipes import QUIET, Recipe

PAGES = ROOT / "docs" / "how-to" / "clients"
ADDRESS = "http://127.0.0.1:4000"
PATIENCE = 90.0
"""Seconds after which a client is ended. The slowest needs 10 on an idle machine."""
LONELY = {"NO_PROXY": "127.0.0.1,localhost", "no_proxy": "127.0.0.1,localhost"}
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")
PROC = Path("/proc")


@frozen
class Page:
    """What a reader does who follows a page: install, write files, run."""

    install: str
    files: Mapping[str, str]
    run: str


@frozen
class Ran:
    """How a client ended, and what it said. `code` is None when it had to be ended."""

    code: int | None
    output: str
    errors: str
    left: int  # processes that it left behind

    def __str__(self) -> str:
        return f"exit code {self.code}\n{self.output[-3000:]}\n--- errors\n{self.errors[-3000:]}"


def page(recipe: Recipe) -> Page:
    """Raises ValueError for a page that does not have exactly one block to install and one to run."""
    found = list(blocks(PAGES / f"{recipe.name}.md"))
    install, run = (block.text for block in found if block.language == "sh")
    return Page(install, {block.title: block.text for block in found if _is_file(block)}, run)


def _is_file(block: Block) -> bool:
    return bool(block.title) and block.language != "sh"


def run(recipe: Recipe, way: str, address: str, home: Path, files: Mapping[str, str]) -> Ran:
    """Do what the page says, against this address. `files` are what it finds in its project, a Git repository."""
    work, told = home / "project", page(recipe)
    work.mkdir()
    for name, text in {**told.files, **files}.items():
        path = Path(name.replace("~", str(home))) if name.startswith("~") else work / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_changed(text, recipe.ways[way], address), "utf-8")
    subprocess.run(["git", "init", "--quiet"], cwd=work, check=True)
    subprocess.run(["git", "add", "."], cwd=work, check=True)
    with _nowhere() as nowhere:
        return _run(_changed(told.run, recipe.ways[way], address), work, _environ(recipe, home, nowhere))


def _changed(text: str, changes: Mapping[str, str], address: str) -> str:
    for old, new in changes.items():
        text = text.replace(old, new)
    return text.replace(ADDRESS, address)


def _environ(recipe: Recipe, home: Path, nowhere: str) -> dict[str, str]:
    """Nothing of the caller's but the way to programs: no key, no setting, no home."""
    path = f"{installing.programs(recipe)}:{os.environ['PATH']}"
    proxies = dict.fromkeys(PROXIES, nowhere)
    return {"PATH": path, "HOME": str(home), **QUIET, **LONELY, **proxies, **recipe.env}


@contextmanager
def _nowhere() -> Iterator[str]:
    """A proxy that refuses: whoever wants to leave this machine is told so at once."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"


def _run(script: str, work: Path, environ: Mapping[str, str]) -> Ran:
    with subprocess.Popen(
        ["bash", "-e", "-c", script],
        cwd=work,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as running:
        code = None
        try:
            output, errors = running.communicate(timeout=PATIENCE)
            code = running.returncode
        except subprocess.TimeoutExpired:
            os.killpg(running.pid, signal.SIGKILL)
            output, errors = running.communicate()
        finally:
            left = _end_all(environ["HOME"])
    return Ran(code, output, errors, left)


def _end_all(home: str, grace: float = 3.0) -> int:
    """How many processes with this home had to be ended. They may take `grace` seconds to go by themselves."""
    until = time.monotonic() + grace
    while (found := list(_with_home(home))) and time.monotonic() < until:
        time.sleep(0.05)
    for pid in found:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return len(found)


def _with_home(home: str) -> Iterator[int]:
    wanted = f"HOME={home}".encode()
    for entry in PROC.iterdir():
        with suppress(OSError):
            if entry.name.isdigit() and wanted in (entry / "environ").read_bytes().split(b"\0"):
                yield int(entry.name)
