"""Where state is kept between runs: ledger, caches, quota, recent decisions."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from .errors import ConfigError, Problem

CHOSEN = "LLMROUTER_STATE_DIR"


def state_dir(environ: Mapping[str, str]) -> Path:
    """$LLMROUTER_STATE_DIR, else the platform's place for state. Made if missing, for this user alone.

    Raises ConfigError when nothing can be kept there.
    """
    chosen = environ.get(CHOSEN)
    place = Path(chosen) if chosen else Path(environ.get("XDG_STATE_HOME") or "~/.local/state") / "llmrouter"
    try:
        path = place.expanduser()
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except (OSError, RuntimeError) as error:  # RuntimeError: a user without a home
        raise _unusable(place, error) from None
    if not os.access(path, os.W_OK | os.X_OK):
        raise _unusable(place, "it may not be written")
    return path


def _unusable(place: Path, why: object) -> ConfigError:
    why = why.strerror or why if isinstance(why, OSError) else why
    message = f"{place} cannot hold the state of this router ({why}): set ${CHOSEN} to a folder that can"
    return ConfigError([Problem(message=message)])
