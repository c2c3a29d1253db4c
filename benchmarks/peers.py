"""The gateways: where each is, how it is started in front of the mock, and how it is asked for an upstream."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from attrs import frozen

from .gateways import CHAT, LITELLM_KEY, Peer, litellm_at, llmrouter_at, portkey_at
from .llmrouter_peer import KEY as LLMROUTER_KEY
from .llmrouter_peer import configuration, model_for
from .processes import free_port
from .scenarios import MOST_ROUNDS
from .tools import Target


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
    port = free_port()

    def headers(route: str) -> dict[str, str]:
        if route in upstreams.plain:
            return {"x-portkey-provider": "openai", "x-portkey-custom-host": upstreams.address(route)}
        hosts = [upstreams.address(route), upstreams.address("fast")]
        targets = [{"provider": "openai", "custom_host": host, "api_key": "none"} for host in hosts]
        return {"x-portkey-config": json.dumps({"strategy": {"mode": "fallback"}, "targets": targets})}

    return portkey_at(
        port, lambda route: Target(port, CHAT, headers={"authorization": "Bearer none", **headers(route)})
    )


def litellm(upstreams: Upstreams, folder: Path) -> Peer:
    port = free_port()

    def entry(route: str) -> dict[str, object]:
        params = {"model": "openai/mock-model", "api_base": upstreams.address(route), "api_key": "none"}
        return {"model_name": route, "litellm_params": params}

    config = {
        "model_list": [entry(route) for route in (*upstreams.plain, *upstreams.failing)],
        "router_settings": {"num_retries": 0, "fallbacks": [{route: ["fast"]} for route in upstreams.failing]},
        "litellm_settings": {"telemetry": False, "num_retries": 0},
    }
    headers = {"authorization": f"Bearer {LITELLM_KEY}"}
    return litellm_at(port, folder / "litellm.yaml", config, lambda route: Target(port, CHAT, route, headers))


def llmrouter(upstreams: Upstreams, folder: Path) -> Peer:
    port, headers = free_port(), {"authorization": f"Bearer {LLMROUTER_KEY}"}
    config = configuration(upstreams.address, upstreams.plain, upstreams.failing)
    return llmrouter_at(
        port, folder / "llmrouter.yaml", config, lambda route: Target(port, CHAT, model_for(route), headers)
    )


def _straight(upstreams: Upstreams, route: str, port: int) -> Target:
    path = upstreams.address(route).split(str(upstreams.port), 1)[1]
    return Target(port, f"{path}/chat/completions")
