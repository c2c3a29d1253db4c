"""`GET /key` and `GET /credits` → what an account has left.

With credits, both count. With keys of one's own at the vendors, OpenRouter's balance pays for nothing but its fee,
and limits count only where they include such calls.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from llmrouter.provider import moment
from llmrouter.types import Allowance, Sighting

DAY = 86_400.0
_WINDOWS: Mapping[str, str] = {"hourly": "hour", "daily": "day", "weekly": "week", "monthly": "month"}
"""`limit_reset` and `reset_interval` → the window of a limit. All of them turn at midnight UTC."""


def read_allowance(key: Any, credit: Any, own_keys: bool, now: float) -> Allowance:
    """`key` and `credit` are the answers, None for one that could not be had."""
    said = _data(key)
    sightings = [*_free(said, now), *_budgets(said, own_keys, now)]
    balances = [] if own_keys else [*_balance(_data(credit))]
    if _binds(said.get("include_byok_in_limit"), own_keys):
        left, window = _usd(said.get("limit_remaining")), _WINDOWS.get(str(said.get("limit_reset")))
        if left is not None and window:
            sightings.append(_budget(window, _usd(said.get("limit")), left, None))
        elif left is not None:
            balances.append(left)
    return Allowance(sightings=tuple(sightings), balance=min(balances, default=None))


def next_day(now: float) -> float:
    """Midnight UTC."""
    return (now // DAY + 1) * DAY


def _free(said: Mapping[str, Any], now: float) -> Iterator[Sighting]:
    """Calls of free models, a UTC day, of the whole account."""
    free = said.get("free_model_daily_requests")
    if isinstance(free, Mapping) and (left := _usd(free.get("remaining"))) is not None:
        yield Sighting(
            scope="account_model",
            models="*:free",
            unit="requests",
            window="day",
            limit=_usd(free.get("limit")),
            remaining=left,
            resets_at=next_day(now),
        )


def _budgets(said: Mapping[str, Any], own_keys: bool, now: float) -> Iterator[Sighting]:
    budgets = said.get("budgets")
    for one in budgets if isinstance(budgets, list) else ():
        if not isinstance(one, Mapping) or not _binds(one.get("include_byok"), own_keys):
            continue
        left, window = _usd(one.get("remaining_usd")), _WINDOWS.get(str(one.get("reset_interval")))
        if left is not None and window:
            resets_at = one.get("resets_at")
            yield _budget(
                window,
                _usd(one.get("limit_usd")),
                left,
                moment(resets_at, now) if isinstance(resets_at, str) else None,
            )


def _budget(window: str, limit: float | None, left: float, resets_at: float | None) -> Sighting:
    return Sighting(
        scope="account", unit="usd", window=window, limit=limit, remaining=max(0.0, left), resets_at=resets_at
    )


def _balance(said: Mapping[str, Any]) -> Iterator[float]:
    bought, used = _usd(said.get("total_credits")), _usd(said.get("total_usage"))
    if bought is not None and used is not None:
        yield bought - used


def _binds(includes_own_keys: Any, own_keys: bool) -> bool:
    return not own_keys or includes_own_keys is True


def _data(answer: Any) -> Mapping[str, Any]:
    data = answer.get("data") if isinstance(answer, Mapping) else None
    return data if isinstance(data, Mapping) else {}


def _usd(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
