"""Figures and tables as text: the same columns on a terminal and in a pipe."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from math import floor, log10

NOTHING = "–"
WIDE = 80  # characters a cell may have: the longest names of endpoints fit


def table(rows: Sequence[Sequence[str]], right: frozenset[int] = frozenset()) -> list[str]:
    """Lines with columns as wide as they need; those in `right` are aligned at their end."""
    rows = [[plain(text, WIDE) for text in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]

    def cell(index: int, text: str) -> str:
        return text.rjust(widths[index]) if index in right else text.ljust(widths[index])

    return ["  ".join(cell(index, text) for index, text in enumerate(row)).rstrip() for row in rows]


def plain(text: str, wide: int) -> str:
    """Text of whomever as a terminal may show it: in one line, without control characters, cut when long."""
    text = text[: wide + 1]
    if not text.isprintable():
        text = "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)
    return text if len(text) <= wide else f"{text[: wide - 1]}…"


def usd(amount: float | None) -> str:
    """Cents where they tell something, more digits below them."""
    if amount is None:
        return "?"
    if amount == 0:
        return "free"
    if amount >= 1:
        return f"${amount:,.2f}"
    return f"${amount:.4f}" if amount >= 0.001 else f"${_two_digits(amount)}"


def _two_digits(amount: float) -> str:
    """All zeros, and the first two digits that say something."""
    return f"{amount:.{1 - floor(log10(amount))}f}".rstrip("0")


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
