"""The codes of a decision, each with the short phrase that header, log and status page show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from llmrouter.types import Decision, Skip, Step

CHOSEN: Mapping[str, str] = {
    "asked": "the request named it",
    "session": "keeps the session where it is",
    "preference": "preferred by configuration",
    "task": "first for this kind of task",
    "cost": "the cheapest that can do it",
    "quality": "the best that can do it",
    "speed": "the fastest that can do it",
    "context": "the only window large enough",
    "limit": "others are at their limit",
    "health": "others are not healthy now",
    "balance": "its share of the traffic",
    "default": "first in the configured order",
    "only": "the only one that can do it",
}
REJECTED: Mapping[str, str] = {
    "ability": "cannot do what was asked",
    "context": "context window too small",
    "price": "above the price ceiling",
    "budget": "above the budget",
    "terms": "not allowed by its terms",
    "policy": "left out by the policy",
}
HELD: Mapping[str, str] = {
    "disabled": "switched off by an operator",
    "limit": "its limit is used up",
    "cooling": "cooling down after a limit",
    "breaker": "failing, circuit open",
    "auth": "its key was rejected",
    "payment": "its balance is used up",
    "time": "too little time was left for it",
}
LIMITS = frozenset({"limit", "cooling"})
"""Hold codes that are somebody's limit; the others are somebody's health."""
CLOSED = frozenset({"auth", "payment", "limit", "cooling", "disabled"})
"""Hold codes under which one try more cannot help."""


def because(decision: Decision, steps: Sequence[Step]) -> str:
    """The reason code of what is served: the decision's own, unless something else had its turn before."""
    for step in steps:
        if isinstance(step, Skip):
            return "limit" if step.reason in LIMITS else "health"
        if step.failure:
            return "limit" if step.failure.kind in ("rate_limited", "quota_exhausted") else "health"
    return decision.reason


def phrase(code: str) -> str:
    """The phrase of any code; ASCII, so that it may stand in a header."""
    return CHOSEN.get(code) or REJECTED.get(code) or HELD.get(code) or code
