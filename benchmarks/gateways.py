"""How the gateways are installed and started; what each is asked to do stands where it is measured."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from attrs import field, frozen

from .tools import Target

CACHE = Path(os.environ.get("LLMROUTER_BENCH_CACHE", "~/.cache/llmrouter-bench")).expanduser()
PORTKEY = "1.15.2"
LITELLM = "1.106.2"
CHAT = "/v1/chat/completions"
LITELLM_KEY = "sk-bench-1234"

Targets = Callable[[str], Target]
"""What to send for a route."""


@frozen(kw_only=True)
class Peer:
    """A gateway that can be started. `missing` says what it lacks, and how to get it."""

    name: str
    command: Sequence[str | Path] = ()  # none: it is the mock itself
    target: Targets
    env: Mapping[str, str] = field(factory=dict)
    cwd: Path | None = None
    missing: str = ""


def portkey_at(port: int, target: Targets) -> Peer:
    home = CACHE / "portkey"
    program = home / "node_modules/@portkey-ai/gateway/build/start-server.js"
    return Peer(
        name="portkey",
        command=("node", program, f"--port={port}", "--headless"),
        target=target,
        env={"NODE_ENV": "production", "TRUSTED_CUSTOM_HOSTS": "127.0.0.1,localhost"},
        cwd=home if home.is_dir() else None,
        missing=""
        if program.exists() and shutil.which("node")
        else "not installed: run with --install (needs npm)",
    )


def litellm_at(port: int, path: Path, config: Mapping[str, Any], target: Targets) -> Peer:
    """Its configuration is written to `path`."""
    program = CACHE / "litellm/bin/litellm"
    path.write_text(yaml.safe_dump({**config, "general_settings": {"master_key": LITELLM_KEY}}))
    return Peer(
        name="litellm",
        command=(program, "--config", path, "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"),
        target=target,
        env={"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR", "LITELLM_MODE": "PRODUCTION"},
        missing="" if program.exists() else "not installed: run with --install",
    )


def llmrouter_at(
    port: int, path: Path, config: Mapping[str, Any], target: Targets, name: str = "llmrouter"
) -> Peer:
    """This checkout; its configuration is written to `path`, its state lies beside it."""
    program, state = Path(sys.executable).with_name("llmrouter"), path.with_suffix("")
    path.write_text(yaml.safe_dump(config))
    state.mkdir(mode=0o700, exist_ok=True)
    return Peer(
        name=name,
        command=(program, "serve", "--config", path, "--host", "127.0.0.1", "--port", str(port)),
        target=target,
        env={"LLMROUTER_STATE_DIR": str(state)},
        missing="" if program.exists() else f"{program} does not exist: install this checkout",
    )


def install() -> None:
    """Install the peers that come from package registries into the cache folder. Raises CalledProcessError."""
    home = CACHE / "portkey"
    home.mkdir(parents=True, exist_ok=True)
    # Later versions of this dependency answer every stream with a 500 on Node 20.
    wanted = {"dependencies": {"@portkey-ai/gateway": PORTKEY}, "overrides": {"@hono/node-server": "1.13.7"}}
    (home / "package.json").write_text(json.dumps({"private": True, **wanted}))
    subprocess.run(["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts"], cwd=home, check=True)
    subprocess.run([sys.executable, "-m", "venv", CACHE / "litellm"], check=True)
    subprocess.run([CACHE / "litellm/bin/pip", "install", "-q", f"litellm[proxy]=={LITELLM}"], check=True)
