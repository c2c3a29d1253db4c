"""Configurations of the chaos tests, and a run of them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from llmrouter import builtin
from llmrouter.chaos import Card, Options, Scenario, chosen, plugin, run
from llmrouter.config import Loaded, load

PEERS = ("a", "b", "c")
SPARE = "spare"


def tiers(engine: Mapping[str, Any] | None = None) -> str:
    """Three peers of the OpenAI family, and one behind them."""
    entry = {
        "plugin": "openai",
        "profile": "custom",
        "base_url": "http://127.0.0.1:9",
        "api_key": "k",
        "models": {"m": {}},
    }
    group = [[f"{name}/m" for name in PEERS], [f"{SPARE}/m"]]
    providers = dict.fromkeys((*PEERS, SPARE), entry)
    return json.dumps({"providers": providers, "groups": {"all": group}, "engine": engine or {}})


def loaded(folder: Path, text: str, profile: str | None = None) -> Loaded:
    path = folder / "llmrouter.yaml"
    path.write_text(text)
    over = {"engine": {"profile": profile}} if profile else None
    return load(path, {}, builtins=[(builtin, builtin.NAME), (plugin, plugin.NAME)], over=over)


def play(
    setup: Loaded,
    scenarios: Sequence[Scenario | str] = (),
    say: Callable[[str], None] = lambda line: None,
    **options: Any,
) -> Card:
    """Run some scenarios, or all."""
    some = [chosen([one])[0] if isinstance(one, str) else one for one in scenarios] or chosen(())
    return asyncio.run(run(setup.settings, setup.plugins, Options(scenarios=some, **options), say))
