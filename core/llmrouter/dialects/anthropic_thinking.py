"""How much a model may think, as Messages says it: a budget of tokens, or an effort that the model goes by itself.

| asked for | said as |
|---|---|
| a budget | `thinking: {type: enabled, budget_tokens}`, at least 1024 and less than `max_tokens` |
| an effort, or a budget that the model chooses | `thinking: {type: adaptive}`, `output_config.effort` |
| none | `thinking: {type: disabled}` |

Under a budget no tool may be forced, and sampling is bound.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .thinking import DYNAMIC

LEAST = 1024  # tokens of a budget
LEAST_TOP_P = 0.95  # while a model thinks

EFFORTS = ("low", "medium", "high", "xhigh", "max")
_WEAKEST = "low"


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
        effort = effort if effort in EFFORTS else _WEAKEST
    if budget is None and effort is None:
        return None, None
    if budget is None or budget == DYNAMIC:
        said: dict[str, Any] = {"type": "adaptive"}
    elif (most := fitted_budget(int(budget), options.get("max_output"))) is None:
        dropped.append("thinking_budget")
        return None, effort
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
