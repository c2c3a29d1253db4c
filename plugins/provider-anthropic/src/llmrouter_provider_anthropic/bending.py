"""A finished body, bent to what a model takes. What need not be touched stays byte for byte as it came."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from llmrouter.dialects import get, raw
from llmrouter.dialects.anthropic_memory import lacks_thoughts
from llmrouter.dialects.anthropic_thinking import fitted_budget, is_forced
from llmrouter.dialects.thinking import EFFORTS, effort_of
from llmrouter.types import Fields

from .profile import Model

MAX_TOKENS = 8192
"""Of an answer, where neither the client nor the card of the model says how long it may be."""
SAMPLING = ("temperature", "top_p", "top_k")

_USUAL = "high"  # the effort that a model goes by when it is told none


def lengthened(fields: Fields, most: int | None) -> Fields:
    """With a `max_tokens`: no other API demands one. A budget of thoughts comes on top of what is usual."""
    if "max_tokens" in fields:
        return fields
    budget = (get(fields, "thinking") or {}).get("budget_tokens") or 0
    return fields | {"max_tokens": raw(most or MAX_TOKENS + budget)}


def without_sampling(fields: Fields) -> Fields:
    return {name: value for name, value in fields.items() if name not in SAMPLING}


def rethought(fields: Fields, model: Model) -> Fields:
    """Thinking asked for in the way that this model knows: by a budget, by an effort, or not at all."""
    thinking, output = _object(fields, "thinking"), _object(fields, "output_config")
    how, effort = thinking.get("type"), output.get("effort")
    known: frozenset[str] = model.thinking or frozenset()
    if how == "adaptive" and how not in known:
        thinking = _budgeted(fields, thinking, effort) if "enabled" in known else {}
    elif how == "enabled" and how not in known:
        effort = effort or _effort_for(thinking)
        thinking = {**_shown(thinking), "type": "adaptive"} if "adaptive" in known else {}
    output = {**output, "effort": _nearest(effort, model.efforts)}
    return _with(_with(fields, "thinking", thinking), "output_config", _said(output))


def _budgeted(fields: Fields, thinking: Mapping[str, Any], effort: Any) -> Mapping[str, Any]:
    """Nothing where a budget would be an error."""
    budget = fitted_budget(EFFORTS.get(effort or _USUAL, EFFORTS[_USUAL]), get(fields, "max_tokens"))
    if budget is None or is_forced(get(fields, "tool_choice")) or lacks_thoughts(fields):
        return {}
    return {**_shown(thinking), "type": "enabled", "budget_tokens": budget}


def _effort_for(thinking: Mapping[str, Any]) -> str | None:
    """Large budgets are what a model would take anyway."""
    effort = effort_of({"thinking_budget": thinking.get("budget_tokens") or 0})
    return effort if effort in ("low", "medium") else None


def _nearest(effort: Any, efforts: Sequence[str]) -> str | None:
    """The effort itself, or the most that there is below it."""
    if effort is None or not efforts:
        return None
    order = list(EFFORTS)
    most = order.index(effort) if effort in order else len(order)
    return next((one for one in reversed(efforts) if order.index(one) <= most), efforts[0])


def _shown(thinking: Mapping[str, Any]) -> Mapping[str, Any]:
    return {name: value for name, value in thinking.items() if name == "display"}


def _said(value: Mapping[str, Any]) -> Mapping[str, Any]:
    return {name: one for name, one in value.items() if one is not None}


def _object(fields: Fields, name: str) -> Mapping[str, Any]:
    value = get(fields, name)
    return value if isinstance(value, dict) else {}


def _with(fields: Fields, name: str, value: Mapping[str, Any]) -> Fields:
    """The same fields where nothing changes."""
    if value == _object(fields, name):
        return fields
    if value:
        return fields | {name: raw(value)}
    return {key: one for key, one in fields.items() if key != name}
