"""How much a model of Google's is told to think: each takes levels or a budget, and not every one of them.

A request is written without knowing the model that it goes to, so its provider bends it here, by data.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

from llmrouter.types import Fields

from .common import loads, raw
from .gemini_common import camel
from .thinking import DYNAMIC, EFFORTS

_CONFIGS = ("generationConfig", "generation_config")
_WORDS = (b"thinkingConfig", b"thinking_config")


@frozen(kw_only=True)
class Thinking:
    """What a model takes. Neither levels nor a budget: it does not think."""

    levels: tuple[str, ...] = field(default=(), converter=tuple)  # efforts, from least to most
    budget: tuple[int, int] | None = None  # tokens, the least and the most
    optional: bool = False  # whether a budget may be 0


def bend_thinking(fields: Fields, thinking: Thinking) -> Fields:
    """The fields as the model takes them; the same where there is nothing to change."""
    name = next((name for name in _CONFIGS if name in fields), "")
    if not name or not any(word in bytes(fields[name]) for word in _WORDS):
        return fields
    config = loads(fields[name])
    key = next((key for key in ("thinkingConfig", "thinking_config") if isinstance(config.get(key), dict)), "")
    if not key:
        return fields
    before = {camel(one): value for one, value in config[key].items() if value is not None}
    after = _bent(before, thinking)
    if after == before:
        return fields
    del config[key]
    return fields | {name: raw(config | ({"thinkingConfig": after} if after else {}))}


def _bent(said: Mapping[str, Any], thinking: Thinking) -> dict[str, Any]:
    found = dict(said)
    effort = str(said.get("thinkingLevel", "")).lower()
    if thinking.levels:
        if effort in EFFORTS and effort not in thinking.levels:
            found["thinkingLevel"] = _level(effort, thinking.levels)
        if effort:
            found.pop("thinkingBudget", None)  # both are refused
        return found
    found.pop("thinkingLevel", None)
    if thinking.budget is None:
        return {}
    budget = said.get("thinkingBudget", EFFORTS.get(effort))
    if isinstance(budget, int) and budget != DYNAMIC:
        least, most = thinking.budget
        found["thinkingBudget"] = 0 if budget == 0 and thinking.optional else min(max(budget, least), most)
    return found


def _level(effort: str, levels: tuple[str, ...]) -> str:
    """The least level that is enough, else the highest there is."""
    return next((one for one in levels if EFFORTS[one] >= EFFORTS[effort]), levels[-1])
