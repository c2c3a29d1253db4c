"""Where state is kept between runs: ledger, caches, quota, recent decisions."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


def state_dir(environ: Mapping[str, str]) -> Path:
    """$LLMROUTER_STATE_DIR, else the platform's place for state. Made if missing, for this user alone."""
    if chosen := environ.get("LLMROUTER_STATE_DIR"):
        path = Path(chosen).expanduser()
    else:
        home = environ.get("XDG_STATE_HOME") or "~/.local/state"
        path = Path(home).expanduser() / "llmrouter"
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path
