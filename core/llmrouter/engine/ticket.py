"""A call as health sees it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from llmrouter.types import Account, Endpoint, Failure

from .breaker import Breaker
from .speed import Seen

if TYPE_CHECKING:
    from .health import Health


class Ticket:
    """A call in flight. `end` gives back its place and its probe slot; the first call counts."""

    __slots__ = ("_health", "_open", "account", "began", "endpoint", "probes", "seen")

    def __init__(
        self,
        health: Health,
        endpoint: Endpoint,
        account: Account,
        seen: Seen,
        began: float,
        probes: Sequence[Breaker],
    ) -> None:
        self._health, self.endpoint, self.account = health, endpoint, account
        self.seen, self.began, self.probes = seen, began, probes
        self._open = True

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
    ) -> None:
        """What became of the call; `ttft` in seconds, `tokens` of its prompt.

        `flaw` is what was wrong with an answer that was given all the same. It counts as `weight` of a failure:
        by default as its class does, less where it was repaired.
        """
        if self._open:
            self._open = False
            self._health.ended(self, failure, ttft, tokens, stream, flaw, weight)
