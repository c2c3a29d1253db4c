"""Wheels as they would be released, and fresh virtual environments to install them into."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from attrs import define, field, frozen

from tests.calling import Caller

ROOT = Path(__file__).parents[2]
PATIENCE = 120.0  # seconds; the first download of a package may take long
STARTS = 20.0  # seconds in which a router has to be up
UV = (sys.executable, "-m", "uv")


def run(
    *command: str | Path, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    words = [str(word) for word in command]
    return subprocess.run(words, check=False, cwd=cwd, env=env, capture_output=True, text=True, timeout=PATIENCE)


def must(*command: str | Path, cwd: Path | None = None) -> None:
    """Run what has to work, and fail the test with what it said."""
    done = run(*command, cwd=cwd)
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}"


def build(source: Path, into: Path, *options: str) -> None:
    """Source distributions of every package of a workspace, and wheels out of those."""
    must(*UV, "build", "--quiet", "--all-packages", "--python", sys.executable, "-o", into, *options, cwd=source)


@frozen
class Built:
    """A folder of wheels and source distributions."""

    folder: Path

    def wheel(self, distribution: str) -> Path:
        [found] = self.folder.glob(f"{distribution.replace('-', '_')}-[0-9]*.whl")
        return found

    def sdist(self, distribution: str) -> Path:
        [found] = self.folder.glob(f"{distribution.replace('-', '_')}-[0-9]*.tar.gz")
        return found

    def wheels(self) -> list[Path]:
        return sorted(self.folder.glob("*.whl"))


@define
class Environment:
    """A virtual environment, and a home of its own in which no configuration lies."""

    folder: Path
    home: Path = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.home = self.folder / "home"
        must(*UV, "venv", "--quiet", "--python", sys.executable, self.folder)
        self.home.mkdir()

    def install(self, *packages: str | Path) -> None:
        """With everything they depend on, from the index that is configured."""
        must(*UV, "pip", "install", "--quiet", "--python", self.folder, "-c", ROOT / "constraints.txt", *packages)

    def add(self, *wheels: Path) -> None:
        """By pip, without what they depend on: all of it is there, or meant not to be."""
        must(
            sys.executable,
            "-m",
            "pip",
            "--python",
            self.folder,
            "install",
            "-q",
            "--no-index",
            "--no-deps",
            *wheels,
        )

    def llmrouter(self, *arguments: str | Path, environ: Mapping[str, str] | None = None) -> Said:
        done = run(self._command, *arguments, cwd=self.home, env=self._environ(environ or {}))
        return Said(done.returncode, done.stdout, done.stderr)

    def config(self, text: str) -> Path:
        path = self.home / "some.yaml"
        path.write_text(text, "utf-8")
        return path

    @contextmanager
    def serving(self, *arguments: str | Path, environ: Mapping[str, str] | None = None) -> Iterator[Caller]:
        """A router on a port of its own, found by what `serve --json` says."""
        command = [str(word) for word in (self._command, "serve", "--port", "0", "--json", *arguments)]
        log, env = self.home / "log", self._environ(environ or {})
        with (
            log.open("w") as errors,
            subprocess.Popen(command, cwd=self.home, env=env, stdout=subprocess.PIPE, stderr=errors) as running,
        ):
            try:
                line = _first_line(running)
                assert line, f"the router did not start: {log.read_text()}"
                with _closing(Caller(json.loads(line)["url"])) as caller:
                    yield caller
            finally:
                running.terminate()
                running.wait(STARTS)

    @property
    def _command(self) -> Path:
        return self.folder / "bin" / "llmrouter"

    def _environ(self, more: Mapping[str, str]) -> Mapping[str, str]:
        """No key of a provider and no setting of the caller's may decide a test."""
        path = os.environ["PATH"]
        return {"PATH": path, "HOME": str(self.home), "LLMROUTER_STATE_DIR": str(self.home / "state"), **more}


def _first_line(running: subprocess.Popen[bytes]) -> bytes:
    """Empty when there is none in time."""
    assert running.stdout is not None
    late = threading.Timer(STARTS, running.kill)
    late.start()
    try:
        return running.stdout.readline()
    finally:
        late.cancel()


@contextmanager
def _closing(caller: Caller) -> Iterator[Caller]:
    try:
        yield caller
    finally:
        caller.close_all()


@frozen
class Said:
    """How a command ended, and what it wrote."""

    code: int
    output: str
    errors: str
