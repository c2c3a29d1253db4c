"""How much a model may think: efforts in words ⇄ budgets in tokens.

Vendors publish no exchange rate. The budgets are those that widely used gateways send, so that a model thinks
about as much behind this router as behind another.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

EFFORTS: Mapping[str, int] = {
    "none": 0,
    "minimal": 128,
    "low": 1024,
    "medium": 2048,
    "high": 4096,
    "xhigh": 8192,
    "max": 16384,
}
"""Tokens, from least to most."""
DYNAMIC = -1
"""A budget that the model chooses itself."""


def effort_of(options: Mapping[str, Any]) -> str | None:
    """The effort that options ask for, in a word; None where they say nothing, or leave it to the model."""
    if effort := options.get("effort"):
        return str(effort)
    budget = options.get("thinking_budget")
    if budget is None or budget == DYNAMIC:
        return None
    enough = [name for name, tokens in EFFORTS.items() if tokens >= budget]
    return enough[0] if enough else "max"
