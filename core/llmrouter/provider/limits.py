"""What upstreams say of their limits: when to come back, and how much is left.

Sources: the rate-limit pages of the providers named, and their answers as recorded by public test suites.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from attrs import frozen

from llmrouter.types import Sighting, Unit

LEAST, MOST = 0.1, 86_400.0
"""Seconds that a hint to come back is held between."""
FARTHEST = 32 * 86_400.0
"""Seconds; a limit that says it resets later than that says nothing."""
EPOCH_SECONDS, EPOCH_MILLISECONDS = 1e9, 1e12
"""From here on a number is a point in time and not a duration."""

_SECONDS = {"n": 1e-9, "u": 1e-6, "µ": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_UNIT = r"(?:milliseconds?|seconds?|secs?|minutes?|mins?|hours?|hrs?|days?|ms|ns|us|µs|[smhd])"
_PIECE = re.compile(rf"(\d+(?:\.\d+)?)\s*({_UNIT})(?![a-z])|(\d+(?:\.\d+)?)([hms])", re.IGNORECASE)
_DURATION = re.compile(rf"(?:\d+(?:\.\d+)?\s*{_UNIT}\s*)+", re.IGNORECASE)
_IN_TEXT = re.compile(rf"\b(?:again|retry|wait)\b[^.\d]{{0,40}}({_DURATION.pattern})", re.IGNORECASE)


@frozen
class LimitHeaders:
    """The names of the headers that state one limit; "" for one that is not sent. `window` as in `types.Bucket`."""

    unit: Unit
    window: str
    limit: str
    remaining: str
    reset: str = ""
    scope: str = "account_model"


def _family(unit: Unit, window: str, suffix: str, prefix: str = "x-ratelimit") -> LimitHeaders:
    return LimitHeaders(
        unit, window, f"{prefix}-limit{suffix}", f"{prefix}-remaining{suffix}", f"{prefix}-reset{suffix}"
    )


def _anthropic(unit: Unit, name: str) -> LimitHeaders:
    start = f"anthropic-ratelimit-{name}"
    return LimitHeaders(unit, "minute", f"{start}-limit", f"{start}-remaining", f"{start}-reset")


FAMILIES: Mapping[str, tuple[LimitHeaders, ...]] = {
    "none": (),
    "openai": (_family("requests", "minute", "-requests"), _family("tokens", "minute", "-tokens")),
    "groq": (_family("requests", "day", "-requests"), _family("tokens", "minute", "-tokens")),
    "cerebras": tuple(
        _family(unit, window, f"-{unit}-{window}")
        for unit in ("requests", "tokens")
        for window in ("minute", "hour", "day")
    ),
    "mistral": (
        _family("requests", "minute", "-req-minute"),
        _family("tokens", "minute", "-tokens-minute"),
        _family("tokens", "month", "-tokens-month"),
    ),
    "together": (_family("requests", "1s", ""), _family("tokens", "1s", "", "x-tokenlimit")),
    "plain": (_family("requests", "minute", ""),),
    "anthropic": (
        _anthropic("requests", "requests"),
        _anthropic("tokens", "tokens"),
        _anthropic("input_tokens", "input-tokens"),
        _anthropic("output_tokens", "output-tokens"),
    ),
}
"""Header families by name. Groq's pair mixes windows: its requests are those of a day."""


def sightings(headers: Mapping[str, str], family: Sequence[LimitHeaders], now: float) -> tuple[Sighting, ...]:
    """The limits stated in the headers of an answer. `Sighting.scope` is the kind of scope, not yet its name."""
    found = []
    for one in family:
        if one.limit not in headers and one.remaining not in headers:  # most upstreams state none
            continue
        limit, remaining = _amount(headers.get(one.limit)), _amount(headers.get(one.remaining))
        if remaining is None and not limit:
            continue
        reset = headers.get(one.reset)
        found.append(
            Sighting(
                scope=one.scope,
                unit=one.unit,
                window=one.window,
                limit=limit or None,  # some send 0 or -1 for "not known"
                remaining=remaining,
                resets_at=moment(reset, now) if reset else None,
            )
        )
    return tuple(found)


def retry_at(
    headers: Mapping[str, str], message: str, now: float, family: Sequence[LimitHeaders] = ()
) -> float | None:
    """When to come back, in seconds of `now`'s clock: from a hint, its text, or the reset of what is used up."""
    at = _hint(headers, now) or in_text(message, now)
    if at is None:
        used_up = [one.resets_at for one in sightings(headers, family, now) if one.remaining == 0]
        at = max((one for one in used_up if one is not None), default=None)
    return None if at is None else now + min(max(at - now, LEAST), MOST)


def moment(text: str, now: float) -> float | None:
    """A point in time as any upstream writes it; None if it is none, is past counting or negative.

    Numbers are epoch milliseconds, epoch seconds or seconds from now, by their size; else RFC 3339, an HTTP
    date, or a duration as Go writes it ("1m30s").
    """
    text = text.strip()
    number = _amount(text)
    if number is None:
        at = _date(text) if "-" in text or "," in text else _after(text, now)
    elif number >= EPOCH_MILLISECONDS:
        at = number / 1000
    else:
        at = number if number >= EPOCH_SECONDS else now + number
    return at if at is not None and at - now <= FARTHEST else None


def in_text(message: str, now: float) -> float | None:
    """The delay in "Please try again in 1m9.696s" and its like."""
    found = _IN_TEXT.search(message)
    return _after(found[1], now) if found else None


def _hint(headers: Mapping[str, str], now: float) -> float | None:
    if (milliseconds := _amount(headers.get("retry-after-ms"))) is not None:
        return now + milliseconds / 1000
    return moment(headers.get("retry-after", ""), now)


def _after(text: str, now: float) -> float | None:
    text = text.strip()
    unit = "ms" if text.endswith("ms") else "s"
    if (plain := _amount(text.removesuffix(unit))) is not None:  # nearly all are of one piece
        return now + plain * _SECONDS[unit]
    if not _DURATION.fullmatch(text):
        return None
    return now + sum(_seconds(*piece) for piece in _PIECE.findall(text))


def _seconds(number: str, unit: str, bare: str, letter: str) -> float:
    number, unit = number or bare, (unit or letter).lower()
    return float(number) * _SECONDS["ms" if unit.startswith(("ms", "milli")) else unit[0]]


def _date(text: str) -> float | None:
    try:
        at = parsedate_to_datetime(text) if "," in text else datetime.fromisoformat(text)
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError, TypeError, IndexError):  # the last two: what email makes of half a date
        return None


def _amount(text: str | None) -> float | None:
    """A number that is finite and not negative: recorders and relays write words where numbers belong."""
    if not text:
        return None
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None
