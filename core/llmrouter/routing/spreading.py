"""How equals share traffic: by their weights, or by how long each would take. Pure; `draw` is all the chance in it.

For policies: what they call equal, and only that, is put in an order here. So it is part of `rank`, and a recorded
decision that is ranked again gives the same plan.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from hashlib import blake2b
from itertools import accumulate
from random import Random

from llmrouter.types import Candidate, Facts

NARROWEST = 2.0**-30
"""Below this width the digits that are left of a draw (53 bits) are no longer evenly spread."""
BETTER = 0.9
"""The second choice goes first when it takes less than this part of the first's time. Measured times are never
equal: without a margin the one that is ahead by a hair would have all the traffic of a quiet hour."""
LOOK = 0.05
"""The share of requests that go by weight alone: who was slow once is asked now and then, and its time is known."""


def spread(equals: Sequence[Candidate], facts: Facts, draw: float) -> list[Candidate]:
    """Equals in the order they are to be tried: who would take less time gets more, and nobody gets all.

    Power of two choices: two are chosen by weight, and the one with the shorter wait goes first; the other one and
    the next choice stand for the second place, and so on. The choices are drawn, or, for a session, its own two,
    so that it stays with them as long as they keep up. Held ones come last.
    """
    free = [one for one in equals if one.hold is None]
    order = _of_session(free, facts.session) if facts.session is not None else permutation(free, draw)
    if not _looks(draw):
        _least_first(order)
    held = [one for one in equals if one.hold is not None]
    return order + sorted(held, key=_endpoint) if held else order


def permutation(candidates: Sequence[Candidate], draw: float) -> list[Candidate]:
    """Weighted, without replacement. `draw` is in [0, 1); equal draws give equal orders.

    The draw falls into the interval of the first pick, and its place inside that interval, stretched to
    [0, 1), makes the next one. So draws that are evenly spread give shares that are exact to one request,
    in the second place too: whoever takes over for a held candidate does so by weight.
    """
    left = sorted(candidates, key=_endpoint)  # a recorded plan comes back in another order
    ordered: list[Candidate] = []
    place, width = draw, 1.0
    while len(left) > 1 and width > NARROWEST:
        ends = list(accumulate(one.weight for one in left))
        if ends[-1] <= 0:
            break
        target = place * ends[-1]
        pick = min(bisect_right(ends, target), len(left) - 1)
        start = ends[pick - 1] if pick else 0.0
        chosen = left.pop(pick)
        place = min((target - start) / chosen.weight, 1.0) if chosen.weight else 0.0
        width *= chosen.weight / ends[-1]
        ordered.append(chosen)
    return ordered + _shuffled(left, draw)


def _least_first(order: list[Candidate]) -> None:
    """Each place to the better of the two that stand for it."""
    waits = _waits(order)
    for place in range(len(order) - 1):
        if waits[place + 1] < waits[place] * BETTER:
            order[place], order[place + 1] = order[place + 1], order[place]
            waits[place + 1] = waits[place]  # the loser's, who stands for the next place


def _waits(candidates: Sequence[Candidate]) -> list[float]:
    """How long one more request would take: its usual time, for it and for each that is under way already.

    A weight counts beside what is under way, not beside the request itself: idle, a peer of weight 3 is not
    three times as quick as one of weight 1, and would leave it nothing.
    """
    usual = _median([one.ttft for one in candidates if one.ttft])
    mean = math.fsum(one.weight for one in candidates) / len(candidates) if candidates else 0.0
    return [
        (one.ttft or usual) * (one.load / one.weight * mean + 1) if one.weight > 0 else math.inf
        for one in candidates
    ]


def _median(times: list[float]) -> float:
    """Of what is known; who is new is taken for neither quick nor slow."""
    times.sort()
    half = len(times) // 2
    return (times[half] + times[~half]) / 2 if times else 1.0


def _looks(draw: float) -> bool:
    """By digits of the draw that the first choices do not use. The factor is no Fibonacci number: draws come in
    golden steps, which such a factor would bring back to where they were."""
    return draw * 997 % 1.0 < LOOK


def _of_session(candidates: Sequence[Candidate], session: str) -> list[Candidate]:
    """Weighted rendezvous: the same for every request of a session, and nobody else's moves when one is away."""

    def clock(one: Candidate) -> tuple[float, str]:
        digest = blake2b(f"{session}\0{one.endpoint}".encode(), digest_size=6).digest()
        return _clock(one.weight, int.from_bytes(digest) / 2**48), one.endpoint

    return sorted(candidates, key=clock)


def _shuffled(left: list[Candidate], draw: float) -> list[Candidate]:
    """The far end of a long list, whose places the draw is too coarse for: weighted by exponential clocks."""
    if len(left) < 2:
        return left
    dice = Random(draw)
    clocks = {one.endpoint: _clock(one.weight, dice.random()) for one in left}
    return sorted(left, key=lambda one: clocks[one.endpoint])


def _clock(weight: float, dice: float) -> float:
    """The time of an exponential clock: the smallest comes first, with a chance in proportion to its weight."""
    return -math.log1p(-dice) / weight if weight > 0 else math.inf


def _endpoint(candidate: Candidate) -> str:
    return candidate.endpoint
