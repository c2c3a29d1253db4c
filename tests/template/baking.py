"""Packages out of the template, and what is done in them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.install.building import PATIENCE, ROOT, run

TEMPLATE = ROOT / "cookiecutter-provider"
KINDS = ("profile", "dialect")

Done = subprocess.CompletedProcess[str]


def bake(into: Path, **answers: str) -> Done:
    """One package, or what was said instead. Nothing is read from, or left in, the home of who runs this."""
    said = [f"{name}={answer}" for name, answer in answers.items()]
    into.mkdir(parents=True, exist_ok=True)
    command = (sys.executable, "-m", "cookiecutter", str(TEMPLATE), "--no-input", "-o", str(into), *said)
    return run(*command, env={**os.environ, "HOME": str(into)})


def answered(into: Path, *answers: str) -> Done:
    """The same by a dialogue, as `make new-provider` has it."""
    command = (sys.executable, "-m", "cookiecutter", str(TEMPLATE), "-o", str(into))
    said = "".join([f"{answer}\n" for answer in answers])
    env = {**os.environ, "HOME": str(into), "COLUMNS": "200"}
    return subprocess.run(
        command, check=False, input=said, env=env, capture_output=True, text=True, timeout=PATIENCE
    )


def baked(into: Path, **answers: str) -> Path:
    """The folder of a package that has to come out."""
    done = bake(into, **answers)
    assert done.returncode == 0, done.stdout + done.stderr
    [folder] = into.glob("llmrouter-provider-*")
    return folder


def tried(package: Path, *options: str, environ: Mapping[str, str] | None = None) -> Done:
    """The package's own tests, by its own settings."""
    own = {
        "PYTHONPATH": str(package / "src"),
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    }  # none is needed, some are slow
    env = {**os.environ, **own, **(environ or {})}
    return run(sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *options, cwd=package, env=env)


def passed(done: Done) -> int:
    """How many tests passed; all that were run have to."""
    assert done.returncode == 0, done.stdout + done.stderr
    found = re.search(r"(\d+) passed", done.stdout)
    assert found, done.stdout
    return int(found[1])


def checked(package: Path, *command: str) -> None:
    """Run a checker by the settings of the package."""
    done = run(sys.executable, "-m", *command, cwd=package)
    assert done.returncode == 0, done.stdout + done.stderr
