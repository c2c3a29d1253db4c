"""How soon an endpoint answers, from its last answers: what is usual, and from when on it is late."""

from __future__ import annotations

import math
from collections import deque

from attrs import define, field

DECAY = 10.0
"""Seconds in which a slow answer is forgotten to a third."""
SAMPLES = 50
"""Answers kept: more would remember another day, fewer have no 95th percentile."""
LATE = 3.0
"""Times the 95th percentile: later than that is not its usual spread."""
SOONEST, LATEST = 2.0, 10.0
"""Seconds between which an endpoint is called late; without any history it is the latest."""
PREAMBLE = 4_000
"""Tokens: what an answer waits for whatever its prompt (queue, network), in the time that reading prompt takes."""

Samples = deque[tuple[float, int]]
"""Seconds to the first output, and tokens of the prompt."""


@define
class Seen:
    """One endpoint's load and speed. `ttft` is a peak EWMA: a slow answer counts at once, a fast one slowly."""

    load: int = 0
    turns: int = 0
    ttft: float = 0.0
    at: float = 0.0
    _streamed: Samples = field(factory=lambda: deque(maxlen=SAMPLES))
    _plain: Samples = field(factory=lambda: deque(maxlen=SAMPLES))  # whose first output comes with the last

    def sample(self, ttft: float, tokens: int, now: float, stream: bool = True) -> None:
        if ttft >= self.ttft:
            self.ttft = ttft
        else:
            keep = math.exp(-max(0.0, now - self.at) / DECAY)
            self.ttft = self.ttft * keep + ttft * (1 - keep)
        self.at = now
        (self._streamed if stream else self._plain).append((ttft, tokens))

    def soft(self, tokens: int, stream: bool = True) -> float:
        """Seconds after which a first output is late. A long prompt may take longer than short ones took."""
        samples = self._streamed if stream else self._plain
        if not samples:
            return LATEST
        whole = tokens + PREAMBLE
        scaled = sorted([ttft * whole / (seen + PREAMBLE) for ttft, seen in samples])
        high = scaled[math.ceil(0.95 * len(scaled)) - 1]
        return min(max(LATE * high, SOONEST), LATEST)

    def usual(self, stream: bool = True) -> float:
        """Seconds to the first output, half of the time; 0 is unknown."""
        samples = self._streamed if stream else self._plain
        if not samples:
            return 0.0
        return sorted([ttft for ttft, _ in samples])[(len(samples) - 1) // 2]
