# ruff: noqa: TID251 (this package is the one place that knows the HTTP clients)
"""Imports httpx without its command line, which would bring rich and pygments: 6 % of our start."""

from __future__ import annotations

import sys
from typing import Any, cast

COMMAND_LINE = "httpx._main"

if "httpx" not in sys.modules:
    modules = cast("dict[str, Any]", sys.modules)
    modules[COMMAND_LINE] = None  # its import fails, and httpx does without
    import httpx

    assert httpx
    del modules[COMMAND_LINE]
