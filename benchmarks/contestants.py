"""Gateways in front of a faulty upstream and a healthy one: configured to fail over, as each one's documents say.

A case is a number; the upstreams know by it what they have to play. Every case has targets of its own, so that a
gateway that learns to avoid one meets the next unprejudiced.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from attrs import frozen

from llmrouter.settings import Profile

from .gateways import CHAT, LITELLM_KEY, Peer, litellm_at, llmrouter_at, portkey_at
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
    port = free_port()

    def target(route: str) -> Target:
        hosts = [duo.address(who, int(route)) for who in ("faulty", "well")]
        each = {"provider": "openai", "api_key": "none", "request_timeout": PATIENCE * 1000}
        config = {"strategy": {"mode": "fallback"}, "targets": [{**each, "custom_host": host} for host in hosts]}
        headers = {"authorization": "Bearer none", "x-portkey-config": json.dumps(config)}
        return Target(port, CHAT, MODEL, headers)

    return portkey_at(port, target)


def litellm(duo: Duo, folder: Path) -> Peer:
    port, headers = free_port(), {"authorization": f"Bearer {LITELLM_KEY}"}

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
    }
    path = folder / "litellm-chaos.yaml"
    return litellm_at(port, path, config, lambda route: Target(port, CHAT, f"faulty-{route}", headers))


def llmrouter(duo: Duo, folder: Path, profile: Profile) -> Peer:
    port = free_port()

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
    return llmrouter_at(
        port, path, config, lambda route: Target(port, CHAT, f"case-{route}"), f"llmrouter {profile}"
    )
