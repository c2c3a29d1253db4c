"""Figures and tables as text: the same columns on a terminal and in a pipe."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

NOTHING = "–"


def table(rows: Sequence[Sequence[str]], right: frozenset[int] = frozenset()) -> list[str]:
    """Lines with columns as wide as they need; those in `right` are aligned at their end."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]

    def cell(index: int, text: str) -> str:
        return text.rjust(widths[index]) if index in right else text.ljust(widths[index])

    return ["  ".join(cell(index, text) for index, text in enumerate(row)).rstrip() for row in rows]


def usd(amount: float | None) -> str:
    """Cents where they tell something, more digits below them."""
    if amount is None:
        return "?"
    if amount == 0:
        return "free"
    return f"${amount:,.2f}" if amount >= 1 else f"${amount:.4f}"


def seconds(amount: float | None) -> str:
    if amount is None:
        return NOTHING
    if amount < 1:
        return f"{amount * 1e3:.0f} ms"
    if amount < 120:
        return f"{amount:.1f} s"
    minutes = round(amount / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60:02}"


def count(amount: int) -> str:
    if amount < 10_000:
        return f"{amount:,}"
    return f"{amount / 1e3:.0f}k" if amount < 1_000_000 else f"{amount / 1e6:.1f}M"


def percent(part: float, whole: float) -> str:
    return f"{100 * part / whole:.0f} %" if whole else NOTHING


def clock(at: float) -> str:
    """The local time of day."""
    return datetime.fromtimestamp(at).astimezone().strftime("%H:%M:%S")
