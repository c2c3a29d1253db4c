"""The gateways: where each is, how it is started in front of the mock, and how it is asked for an upstream."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import yaml
from attrs import field, frozen

from .llmrouter_peer import KEY as LLMROUTER_KEY
from .llmrouter_peer import configuration, model_for
from .processes import free_port
from .scenarios import MOST_ROUNDS
from .tools import Target

CACHE = Path(os.environ.get("LLMROUTER_BENCH_CACHE", "~/.cache/llmrouter-bench")).expanduser()
PORTKEY = "1.15.2"
LITELLM = "1.106.2"
CHAT = "/v1/chat/completions"


@frozen(kw_only=True)
class Peer:
    """A gateway that can be started. `missing` says what it lacks, and how to get it."""

    name: str
    command: Sequence[str | Path] = ()  # none: it is the mock itself
    target: Callable[[str], Target]
    env: Mapping[str, str] = field(factory=dict)
    cwd: Path | None = None
    missing: str = ""


@frozen
class Upstreams:
    """The addresses behind the routes: what a gateway is configured with."""

    port: int
    refused_port: int

    def address(self, route: str) -> str:
        """The base URL of a route; of a failover route, its first target."""
        kind = route.partition("-")[0]
        if kind == "refused":
            return f"http://127.0.0.1:{self.refused_port}/v1"
        prefix = {"fast": "", "down": "/s503"}.get(kind, f"/{kind}")
        return f"http://127.0.0.1:{self.port}{prefix}/v1"

    @property
    def plain(self) -> list[str]:
        return ["fast", "p10", "p20", "d20", "d100", "d400"]

    @property
    def failing(self) -> list[str]:
        return [f"{kind}-{number}" for kind in ("down", "refused") for number in range(MOST_ROUNDS)]


def all_peers(upstreams: Upstreams, folder: Path) -> list[Peer]:
    return [make(upstreams, folder) for make in (direct, nginx, portkey, litellm, llmrouter)]


def direct(upstreams: Upstreams, folder: Path) -> Peer:
    return Peer(name="direct", target=lambda route: _straight(upstreams, route, upstreams.port))


def nginx(upstreams: Upstreams, folder: Path) -> Peer:
    port = free_port()
    program = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    config = folder / "nginx.conf"
    config.write_text(
        f"""
worker_processes 1; daemon off; pid {folder}/nginx.pid; error_log {folder}/nginx.err;
events {{ worker_connections 2048; }}
http {{
  access_log off; keepalive_requests 1000000000; client_max_body_size 32m; client_body_buffer_size 256k;
  client_body_temp_path {folder}/nginx-in; proxy_temp_path {folder}/nginx-out;
  upstream mock {{ server 127.0.0.1:{upstreams.port}; keepalive 256; keepalive_requests 1000000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=1024;
    location / {{
      proxy_pass http://mock; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off;
    }}
  }}
}}
"""
    )
    return Peer(
        name="nginx",
        command=(program or "nginx", "-c", config),
        target=lambda route: _straight(upstreams, route, port),
        missing="" if program else "nginx is not installed on this machine",
    )


def portkey(upstreams: Upstreams, folder: Path) -> Peer:
    port, home = free_port(), CACHE / "portkey"
    program = home / "node_modules/@portkey-ai/gateway/build/start-server.js"

    def headers(route: str) -> dict[str, str]:
        if route in upstreams.plain:
            return {"x-portkey-provider": "openai", "x-portkey-custom-host": upstreams.address(route)}
        hosts = [upstreams.address(route), upstreams.address("fast")]
        targets = [{"provider": "openai", "custom_host": host, "api_key": "none"} for host in hosts]
        return {"x-portkey-config": json.dumps({"strategy": {"mode": "fallback"}, "targets": targets})}

    return Peer(
        name="portkey",
        command=("node", program, f"--port={port}", "--headless"),
        target=lambda route: Target(port, CHAT, headers={"authorization": "Bearer none", **headers(route)}),
        env={"NODE_ENV": "production", "TRUSTED_CUSTOM_HOSTS": "127.0.0.1,localhost"},
        cwd=home if home.is_dir() else None,
        missing=""
        if program.exists() and shutil.which("node")
        else "not installed: run with --install (needs npm)",
    )


def litellm(upstreams: Upstreams, folder: Path) -> Peer:
    port, program = free_port(), CACHE / "litellm/bin/litellm"

    def entry(route: str) -> dict[str, object]:
        params = {"model": "openai/mock-model", "api_base": upstreams.address(route), "api_key": "none"}
        return {"model_name": route, "litellm_params": params}

    config = {
        "model_list": [entry(route) for route in (*upstreams.plain, *upstreams.failing)],
        "router_settings": {"num_retries": 0, "fallbacks": [{route: ["fast"]} for route in upstreams.failing]},
        "litellm_settings": {"telemetry": False, "num_retries": 0},
        "general_settings": {"master_key": "sk-bench-1234"},
    }
    path = folder / "litellm.yaml"
    path.write_text(yaml.safe_dump(config))
    return Peer(
        name="litellm",
        command=(program, "--config", path, "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"),
        target=lambda route: Target(port, CHAT, route, {"authorization": "Bearer sk-bench-1234"}),
        env={"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR", "LITELLM_MODE": "PRODUCTION"},
        missing="" if program.exists() else "not installed: run with --install",
    )


def llmrouter(upstreams: Upstreams, folder: Path) -> Peer:
    port, program, state = free_port(), Path(sys.executable).with_name("llmrouter"), folder / "state"
    path = folder / "llmrouter.yaml"
    path.write_text(yaml.safe_dump(configuration(upstreams.address, upstreams.plain, upstreams.failing)))
    state.mkdir(mode=0o700, exist_ok=True)
    return Peer(
        name="llmrouter",
        command=(program, "serve", "--config", path, "--host", "127.0.0.1", "--port", str(port)),
        target=lambda route: Target(port, CHAT, model_for(route), {"authorization": f"Bearer {LLMROUTER_KEY}"}),
        env={"LLMROUTER_STATE_DIR": str(state)},
        missing="" if program.exists() else f"{program} does not exist: install this checkout",
    )


def _straight(upstreams: Upstreams, route: str, port: int) -> Target:
    path = upstreams.address(route).split(str(upstreams.port), 1)[1]
    return Target(port, f"{path}/chat/completions")


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
