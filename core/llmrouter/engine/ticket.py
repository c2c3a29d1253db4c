"""A call as health sees it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from llmrouter.types import Account, Endpoint, Failure

from .breaker import Breaker
from .speed import Seen

if TYPE_CHECKING:
    from .health import Health


class Ticket(msgspec.Struct, eq=False, gc=False):
    """A call in flight. `end` gives back its place and its probe slot; the first call counts."""

    health: Health
    endpoint: Endpoint
    account: Account
    seen: Seen
    began: float
    probes: Sequence[Breaker]
    open: bool = True

    @property
    def probing(self) -> bool:
        """Whether a circuit waits for what becomes of this call: have a fallback at hand."""
        return bool(self.probes)

    def end(
        self,
        failure: Failure | None,
        ttft: float | None,
        tokens: int = 0,
        *,
        stream: bool = True,
        flaw: Failure | None = None,
        weight: float | None = None,
        now: float | None = None,
    ) -> None:
        """What became of the call; `ttft` in seconds, `tokens` of its prompt.

        `flaw` is what was wrong with an answer that was given all the same. It counts as `weight` of a failure:
        by default as its class does, less where it was repaired. Who knows the time tells it.
        """
        if self.open:
            self.open = False
            self.health.ended(self, failure, ttft, tokens, stream, flaw, weight, now)
