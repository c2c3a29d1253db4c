"""`python -m tests.clients.installing`: the clients, each in a folder of its own outside of the repository."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from .recipes import RECIPES, Recipe

CACHE = Path(os.environ.get("LLMROUTER_CLIENTS_CACHE", "~/.cache/llmrouter-clients")).expanduser()


def folder(recipe: Recipe) -> Path:
    """Versions stand side by side, so that a new one is a new folder."""
    return CACHE / f"{recipe.name}-{recipe.version}"


def programs(recipe: Recipe) -> Path:
    """The folder with the client's program."""
    return folder(recipe) / ("node_modules/.bin" if recipe.source == "npm" else "bin")


def missing(recipe: Recipe) -> str:
    """What is to be done before a client can be run; "" if nothing."""
    if not (programs(recipe) / recipe.program).exists():
        return f"{recipe.name} is not installed: `make test-clients` does it"
    if recipe.source == "npm" and not shutil.which("node"):
        return f"{recipe.name} needs node, which is not on the PATH"
    return ""


def install(recipe: Recipe) -> None:
    """From the registries that npm and pip are set up with. Raises CalledProcessError, FileNotFoundError."""
    home, wanted = folder(recipe), f"{recipe.package}@{recipe.version}"
    home.mkdir(parents=True, exist_ok=True)
    if recipe.source == "npm":
        (home / "package.json").write_text(json.dumps({"private": True}))
        subprocess.run(["npm", "install", "--no-audit", "--no-fund", "--save-exact", wanted], cwd=home, check=True)
        return
    uv = [sys.executable, "-m", "uv"]
    subprocess.run([*uv, "venv", "--quiet", "--allow-existing", "--python", sys.executable, home], check=True)
    pinned = wanted.replace("@", "==")
    subprocess.run([*uv, "pip", "install", "--quiet", "--python", home, pinned], check=True)


def main() -> None:
    for recipe in RECIPES:
        if missing(recipe):
            print(f"installing {recipe.package} {recipe.version} into {folder(recipe)}", flush=True)
            install(recipe)


if __name__ == "__main__":
    main()
