"""What a generation of Google's models wants said otherwise: how much to think, and signatures that were lost.

A request is written without knowing the model that it goes to, so its provider bends it here, by data.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import frozen

from llmrouter.types import Fields

from .common import loads, raw
from .gemini_common import camel
from .gemini_memory import sign
from .thinking import DYNAMIC, EFFORTS

_CONFIGS = ("generationConfig", "generation_config")
_WORDS = (b"thinkingConfig", b"thinking_config")


@frozen(kw_only=True)
class Generation:
    """What its models take. Neither levels nor a budget: they do not think."""

    levels: Sequence[str] = ()  # efforts, from least to most
    budget: Sequence[int] | None = None  # tokens, the least and the most
    optional: bool = False  # whether a budget may be 0
    signed: bool = False  # whether a turn that called functions is refused without its signature


def bend_to(fields: Fields, generation: Generation) -> Fields:
    """The fields as the model takes them; the same where there is nothing to change."""
    fields = _thinking(fields, generation)
    return sign(fields) if generation.signed else fields


def _thinking(fields: Fields, generation: Generation) -> Fields:
    name = next((name for name in _CONFIGS if name in fields), "")
    if not name or not any(word in bytes(fields[name]) for word in _WORDS):
        return fields
    config = loads(fields[name])
    key = next((key for key in ("thinkingConfig", "thinking_config") if isinstance(config.get(key), dict)), "")
    if not key:
        return fields
    before = {camel(one): value for one, value in config[key].items() if value is not None}
    after = _bent(before, generation)
    if after == before:
        return fields
    del config[key]
    return fields | {name: raw(config | ({"thinkingConfig": after} if after else {}))}


def _bent(said: Mapping[str, Any], generation: Generation) -> dict[str, Any]:
    found = dict(said)
    effort = str(said.get("thinkingLevel", "")).lower()
    if generation.levels:
        if effort in EFFORTS and effort not in generation.levels:
            found["thinkingLevel"] = _level(effort, generation.levels)
        if effort:
            found.pop("thinkingBudget", None)  # both are refused
        return found
    found.pop("thinkingLevel", None)
    if generation.budget is None:
        return {}
    budget = said.get("thinkingBudget", EFFORTS.get(effort))
    if isinstance(budget, int) and budget != DYNAMIC:
        least, most = generation.budget
        found["thinkingBudget"] = 0 if budget == 0 and generation.optional else min(max(budget, least), most)
    return found


def _level(effort: str, levels: Sequence[str]) -> str:
    """The least level that is enough, else the highest there is."""
    return next((one for one in levels if EFFORTS[one] >= EFFORTS[effort]), levels[-1])
