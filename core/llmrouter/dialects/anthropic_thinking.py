"""How much a model may think, as Messages says it: a budget of tokens, or an effort that the model goes by itself.

| asked for | said as |
|---|---|
| a budget | `thinking: {type: enabled, budget_tokens}`, at least 1024 and less than `max_tokens` |
| an effort, or a budget that the model chooses | `thinking: {type: adaptive}`, `output_config.effort` |
| none | `thinking: {type: disabled}` |

Under a budget no tool may be forced, and sampling is bound.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from llmrouter.types import Fields

from .anthropic_memory import lacks_thoughts
from .common import get, raw
from .thinking import DYNAMIC, effort_of
from .thinking import EFFORTS as BUDGETS

LEAST = 1024  # tokens of a budget
LEAST_TOP_P = 0.95  # while a model thinks

EFFORTS = ("low", "medium", "high", "xhigh", "max")
_WEAKEST = "low"
_USUAL = "high"  # what a model goes by when it is told none


def read_thinking(thinking: Any, effort: Any) -> dict[str, Any]:
    """The options that `thinking` and `output_config.effort` stand for."""
    options: dict[str, Any] = {"effort": effort} if isinstance(effort, str) else {}
    if not isinstance(thinking, dict):
        return options
    match thinking.get("type"):
        case "disabled":
            return {"thinking_budget": 0}  # the effort that is left is one of speech
        case "enabled" if isinstance(budget := thinking.get("budget_tokens"), int):
            options["thinking_budget"] = budget
        case _:
            options["thinking_budget"] = DYNAMIC
    if "display" in thinking:
        options["thoughts"] = thinking["display"] != "omitted"
    return options


def write_thinking(options: Mapping[str, Any], dropped: list[str]) -> tuple[dict[str, Any] | None, str | None]:
    """`thinking` and `output_config.effort`; None for what is not said."""
    budget, effort = options.get("thinking_budget"), options.get("effort")
    if budget == 0 or (budget is None and effort == "none"):
        return {"type": "disabled"}, None
    if effort is not None:
        effort = None if effort == "none" else effort if effort in EFFORTS else _WEAKEST
    if budget is None and effort is None:
        return None, None
    if budget is None or budget == DYNAMIC:
        said: dict[str, Any] = {"type": "adaptive"}
    elif (most := fitted_budget(int(budget), options.get("max_output"))) is None:
        dropped.append("thinking_budget")
        return None, None
    else:
        said = {"type": "enabled", "budget_tokens": most}
    if "thoughts" in options:
        said["display"] = "summarized" if options["thoughts"] else "omitted"
    return said, effort


def fitted_budget(budget: int, max_tokens: int | None) -> int | None:
    """A budget that leaves room for an answer; None where there is none."""
    budget = max(LEAST, budget)
    if max_tokens is None or budget < max_tokens:
        return budget
    return max_tokens - 1 if max_tokens > LEAST else None


def is_forced(tool_choice: Any) -> bool:
    """Whether a model must call a tool, which it may not under a budget of thoughts."""
    return isinstance(tool_choice, dict) and tool_choice.get("type") in ("any", "tool")


# --- what a model knows


def fit_thinking(fields: Fields, modes: frozenset[str], efforts: Sequence[str]) -> Fields:
    """Thinking asked for in the way that a model knows: by a budget (`enabled`), by an effort (`adaptive`), or not.

    `efforts` are those that it knows, from the least to the most. The same fields where nothing has to change.
    """
    thinking, output = _object(fields, "thinking"), _object(fields, "output_config")
    mode, effort = thinking.get("type"), output.get("effort")
    shown = {name: value for name, value in thinking.items() if name == "display"}
    if mode == "adaptive" and mode not in modes:
        budget = _budget_for(fields, effort) if "enabled" in modes else None
        thinking = {**shown, "type": "enabled", "budget_tokens": budget} if budget else {}
    elif mode == "enabled" and mode not in modes:
        effort = effort or _effort_for(thinking)
        thinking = {**shown, "type": "adaptive"} if "adaptive" in modes else {}
    nearest = _nearest(effort, efforts)
    output = {name: value for name, value in output.items() if name != "effort"}
    fields = _with(fields, "thinking", thinking)
    return _with(fields, "output_config", output | {"effort": nearest} if nearest else output)


def _budget_for(fields: Fields, effort: Any) -> int | None:
    """None where a budget would be an error."""
    if is_forced(get(fields, "tool_choice")) or lacks_thoughts(fields):
        return None
    word = effort if effort in EFFORTS else _USUAL
    return fitted_budget(BUDGETS[word], get(fields, "max_tokens"))


def _effort_for(thinking: Mapping[str, Any]) -> str | None:
    """None for a large budget: a model takes that much when it is told nothing."""
    budget = thinking.get("budget_tokens")
    effort = effort_of({"thinking_budget": budget if isinstance(budget, int) else 0})
    return effort if effort in ("low", "medium") else None


def _nearest(effort: Any, efforts: Sequence[str]) -> str | None:
    """The effort itself, or the most that there is below it."""
    if effort is None or not efforts:
        return None
    order = list(BUDGETS)
    most = order.index(effort) if effort in order else len(order)
    return next((one for one in reversed(efforts) if order.index(one) <= most), efforts[0])


def _object(fields: Fields, name: str) -> dict[str, Any]:
    value = get(fields, name)
    return value if isinstance(value, dict) else {}


def _with(fields: Fields, name: str, value: Mapping[str, Any]) -> Fields:
    if value == _object(fields, name):
        return fields
    if value:
        return fields | {name: raw(value)}
    return {key: one for key, one in fields.items() if key != name}
