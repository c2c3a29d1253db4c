"""The failure table: what each class of failure charges, holds, repeats and leads to."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Literal

from attrs import frozen

from llmrouter.types import Failure, Kind

DAY = 86_400.0
LEAST_HINT = 0.1
"""Seconds: a shorter hint of an upstream is taken for this."""

MOST_DOUBLINGS = 20
"""Of anything: a second is two weeks by then, and after a thousand a float is too small."""


@frozen(kw_only=True)
class Rule:
    """One row. `hold` is the reason code of the hold it makes on its scope; times are seconds."""

    then: Literal["next", "larger_window", "stop"] = "next"
    breaker: float = 0.0  # how much of a failure it is to the circuit breaker; 0 never counts
    repeats: int = 0  # calls of the same candidate after it
    backoff: tuple[float, float] | None = None  # before such a repeat
    hold: str = ""
    first: float = 0.0  # of the hold, where the upstream gives no hint; doubles with each one in a row
    most: float = DAY
    hinted: bool = False  # the upstream's own hint wins
    faults: int = 1  # within a minute and without an answer between them, before it holds
    alert: bool = False  # a hold is said in the log: somebody has to mend something
    answered: bool = True  # the upstream was there, whatever it said

    @property
    def passes(self) -> bool:
        """Whether what failed once may go well the next time. Silence is not asked again: it costs much."""
        return self.repeats > 0 or self.hold == "cooling"

    def hold_for(self, failure: Failure, now: float, streak: int, draw: random.Random) -> float:
        """Seconds: an operator's word, the upstream's hint, else first·2ⁿ with full jitter above the first."""
        if failure.hold is not None:
            return failure.hold
        if self.hinted and failure.retry_at is not None:
            return min(max(failure.retry_at - now, LEAST_HINT), DAY)
        longest = min(self.first * 2.0 ** min(streak, MOST_DOUBLINGS), self.most)
        return self.first if longest <= self.first else draw.uniform(self.first, longest)


SILENT = Rule(breaker=1.0, answered=False)
NEUTRAL = Rule(answered=False)

TABLE: Mapping[Kind, Rule] = {
    "rate_limited": Rule(hold="cooling", first=1.0, most=60.0, hinted=True),
    "quota_exhausted": Rule(hold="limit", first=900.0, most=DAY, hinted=True),
    "overloaded": Rule(
        breaker=0.5, repeats=1, backoff=(0.5, 0.5), hold="breaker", first=5.0, most=15.0, hinted=True
    ),
    "server_error": Rule(breaker=1.0, repeats=1, backoff=(0.3, 0.6)),
    "connect": Rule(breaker=1.0, repeats=1, backoff=(0.0, 0.0), answered=False),
    "timeout_headers": SILENT,
    "timeout_ttft": SILENT,
    "stall": SILENT,
    "truncated": SILENT,
    "malformed_chunk": Rule(breaker=0.2),
    "auth": Rule(hold="auth", first=1800.0, most=1800.0, alert=True),
    "payment": Rule(hold="payment", first=600.0, most=3600.0, alert=True),
    "forbidden_model": Rule(hold="breaker", first=3600.0, most=3600.0),
    "not_found": Rule(hold="breaker", first=3600.0, most=3600.0),
    "context_length": Rule(then="larger_window"),
    "content_filter": Rule(then="stop"),
    "invalid_request": Rule(then="stop"),
    "degraded": Rule(breaker=0.5),
    "diverged": NEUTRAL,
    "lost": NEUTRAL,
    "cancelled": NEUTRAL,
    "internal": Rule(hold="breaker", first=300.0, most=3600.0, faults=5, alert=True, answered=False),
}
QUICK: frozenset[Kind] = frozenset({"connect", "timeout_headers", "timeout_ttft"})
"""Silences: three in a row open a circuit, for each costs its whole time-out."""
