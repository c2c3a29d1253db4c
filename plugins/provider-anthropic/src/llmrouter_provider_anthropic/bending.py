"""A finished body, bent to what a model takes. What need not be touched stays byte for byte as it came."""

from __future__ import annotations

from llmrouter.dialects import fit_thinking, get, raw
from llmrouter.types import Fields

from .profile import Model

MAX_TOKENS = 8192
"""Of an answer, where neither the client nor the card of the model says how long it may be."""
SAMPLING = ("temperature", "top_p", "top_k")


def lengthened(fields: Fields, most: int | None) -> Fields:
    """With a `max_tokens`: no other API demands one. A budget of thoughts comes on top of what is usual."""
    if "max_tokens" in fields:
        return fields
    thinking = get(fields, "thinking")
    budget = thinking.get("budget_tokens") if isinstance(thinking, dict) else None
    thought = budget if isinstance(budget, int) else 0  # of what is no number the vendor will complain
    return fields | {"max_tokens": raw(most or MAX_TOKENS + thought)}


def without_sampling(fields: Fields) -> Fields:
    if not any(name in fields for name in SAMPLING):
        return fields
    return {name: value for name, value in fields.items() if name not in SAMPLING}


def rethought(fields: Fields, model: Model) -> Fields:
    """With thinking as this model knows it; of one that nobody has described, as it was asked for."""
    if model.thinking is None or not ("thinking" in fields or "output_config" in fields):
        return fields
    return fit_thinking(fields, model.thinking, model.efforts)
