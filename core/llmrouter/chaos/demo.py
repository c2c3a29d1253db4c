"""The configuration of a run that is given none: three peers, and a fallback behind them."""

from __future__ import annotations

import json

from . import plugin

DEMO = "demo"


def demo() -> str:
    """In JSON, which is YAML."""
    names = ("first", "second", "third", "spare")
    entry = {"plugin": plugin.PLAIN, "base_url": "http://127.0.0.1:9", "api_key": "chaos", "models": {"m": {}}}
    group = [[f"{name}/m" for name in names[:3]], [f"{names[3]}/m"]]
    return json.dumps({"providers": dict.fromkeys(names, entry), "groups": {"demo": group}}, indent=1)
