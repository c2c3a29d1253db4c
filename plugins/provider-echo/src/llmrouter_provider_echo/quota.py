"""The limit that the upstream keeps: so many requests in a window, then 429 until it ends."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import define, field

from llmrouter.protocols import Clock

from .config import EchoQuota
from .refusals import Refused


@define
class _Window:
    ends: float
    used: int = 0


@define(eq=False)
class Quota:
    """Counts by quota group and model, as most vendors do."""

    settings: EchoQuota
    clock: Clock
    _windows: dict[tuple[str, str], _Window] = field(factory=dict)

    def take(self, group: str, model: str) -> Mapping[str, str]:
        """Count one request and return the rate-limit headers. Raises Refused (429) when none is left."""
        now = self.clock()
        window = self._windows.get((group, model))
        if window is None or window.ends <= now:
            window = self._windows[group, model] = _Window(now + self.settings.seconds)
        left = window.ends - now
        spent = window.used >= self.settings.requests
        window.used += not spent
        headers = {
            "x-ratelimit-limit-requests": str(self.settings.requests),
            "x-ratelimit-remaining-requests": str(self.settings.requests - window.used),
            "x-ratelimit-reset-requests": f"{left:.3f}s",
        }
        if spent:
            problem = f"Rate limit reached for {model}: {self.settings.requests} requests per {self.settings.per}."
            raise Refused(429, problem, retry_after=left, headers=headers)
        return headers
