"""Gateways in front of a faulty upstream and a healthy one: configured to fail over, as each one's documents say.

A case is a number; the upstreams know by it what they have to play. Every case has targets of its own, so that a
gateway that learns to avoid one meets the next unprejudiced.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from attrs import frozen

from llmrouter.settings import Profile

from .peers import CACHE, CHAT, Peer
from .processes import free_port
from .tools import Target

PATIENCE = 1
"""Seconds that every gateway may wait for its upstream where it can be told so."""
MODEL = "m"


@frozen
class Duo:
    """The upstreams behind every gateway."""

    faulty: str  # base URLs
    well: str
    cases: Sequence[int]

    def address(self, who: str, case: int) -> str:
        return f"{self.faulty if who == 'faulty' else self.well}/{case}/v1"


def contestants(duo: Duo, folder: Path) -> list[Peer]:
    return [
        portkey(duo),
        litellm(duo, folder),
        llmrouter(duo, folder, "default"),
        llmrouter(duo, folder, "resilient"),
    ]


def portkey(duo: Duo) -> Peer:
    port, home = free_port(), CACHE / "portkey"
    program = home / "node_modules/@portkey-ai/gateway/build/start-server.js"

    def target(route: str) -> Target:
        hosts = [duo.address(who, int(route)) for who in ("faulty", "well")]
        each = {"provider": "openai", "api_key": "none", "request_timeout": PATIENCE * 1000}
        config = {"strategy": {"mode": "fallback"}, "targets": [{**each, "custom_host": host} for host in hosts]}
        headers = {"authorization": "Bearer none", "x-portkey-config": json.dumps(config)}
        return Target(port, CHAT, MODEL, headers)

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


def litellm(duo: Duo, folder: Path) -> Peer:
    port, program = free_port(), CACHE / "litellm/bin/litellm"

    def entry(who: str, case: int) -> dict[str, Any]:
        params = {"model": f"openai/{MODEL}", "api_base": duo.address(who, case), "api_key": "none"}
        limits = {"timeout": PATIENCE, "stream_timeout": PATIENCE, "max_retries": 0}
        return {"model_name": f"{who}-{case}", "litellm_params": {**params, **limits}}

    config = {
        "model_list": [entry(who, case) for case in duo.cases for who in ("faulty", "well")],
        "router_settings": {
            "num_retries": 0,
            "fallbacks": [{f"faulty-{case}": [f"well-{case}"]} for case in duo.cases],
        },
        "litellm_settings": {"telemetry": False, "num_retries": 0, "request_timeout": PATIENCE},
        "general_settings": {"master_key": "sk-bench-1234"},
    }
    path = folder / "litellm-chaos.yaml"
    path.write_text(yaml.safe_dump(config))
    return Peer(
        name="litellm",
        command=(program, "--config", path, "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"),
        target=lambda route: Target(port, CHAT, f"faulty-{route}", {"authorization": "Bearer sk-bench-1234"}),
        env={"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR", "LITELLM_MODE": "PRODUCTION"},
        missing="" if program.exists() else "not installed: run with --install",
    )


def llmrouter(duo: Duo, folder: Path, profile: Profile) -> Peer:
    port, program, state = free_port(), Path(sys.executable).with_name("llmrouter"), folder / f"state-{profile}"

    def entry(who: str, case: int) -> dict[str, Any]:
        common = {"plugin": "openai", "profile": "custom", "api_key": "none", "models": {MODEL: {}}}
        return {**common, "base_url": duo.address(who, case)}

    seconds = f"{PATIENCE}s"
    config = {
        "providers": {f"{who}-{case}": entry(who, case) for case in duo.cases for who in ("faulty", "well")},
        "groups": {f"case-{case}": [f"faulty-{case}/{MODEL}", f"well-{case}/{MODEL}"] for case in duo.cases},
        "engine": {"profile": profile, "timeouts": dict.fromkeys(("headers", "ttft_hard", "idle"), seconds)},
        "logging": {"level": "error"},
        "catalogue": {"refresh": None},
    }
    path = folder / f"llmrouter-{profile}.yaml"
    path.write_text(yaml.safe_dump(config))
    state.mkdir(mode=0o700, exist_ok=True)
    return Peer(
        name=f"llmrouter {profile}",
        command=(program, "serve", "--config", path, "--host", "127.0.0.1", "--port", str(port)),
        target=lambda route: Target(port, CHAT, f"case-{route}"),
        env={"LLMROUTER_STATE_DIR": str(state)},
        missing="" if program.exists() else f"{program} does not exist: install this checkout",
    )
