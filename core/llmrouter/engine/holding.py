"""One bucket as one worker holds it: slices to spend, what is not reported yet, what is known of the rest."""

from __future__ import annotations

import math
from collections import defaultdict, deque
from collections.abc import Sequence

from attrs import define, field

from llmrouter.quota import same_window, window
from llmrouter.types import Bucket, Exhausted, Sighting, Unit

MARGIN = 0.4
"""Seconds that a slice ends here before it does in the store: what was taken of it must be reported by then."""
REMEMBERED = 0.2
"""Seconds for which a refusal is believed without asking again."""
BELIEVED = 1.0
"""Seconds for which a provider's word is believed while its next ones say about the same."""
ALIKE = 0.98
"""What is left by its word and by our count, one as a part of the other, where they say about the same."""
CLOSE = 1e-9


@define(eq=False)
class Holding:
    """Slices are kept as running sums: what was granted, what was taken, and the sum at which each slice ends.

    `pending` is what the store was not told yet. When it is negative it is allowance too: the store counts it
    as spent, so it can be spent here.
    """

    bucket: Bucket
    seen: bool = True  # somebody looked since the store was last asked how much is left
    pending: float = 0.0
    out: float = 0.0  # reserved and not closed
    left: float = field(init=False)  # of the limit, as far as this worker knows
    until: float = -math.inf  # when the first slice ends, or the window
    begins: float = -math.inf  # of the window, or of the last sighting
    ends: float = -math.inf  # of the window
    refusal: Exhausted | None = None
    _refused: float = 0.0  # the amount
    _believed: float = -math.inf  # until when
    _sighted: float = -math.inf  # when a provider's word was taken in
    _granted: float = 0.0
    _taken: float = 0.0
    _drawn: float = 0.0  # taken from slices that have not ended, and not reported: it can go back to them
    _slices: deque[tuple[float, float]] = field(factory=deque)  # (until, sum granted with it)

    def __attrs_post_init__(self) -> None:
        self.left = self.bucket.limit

    # ---- taking ---------------------------------------------------------------------------------

    def covers(self, amount: float, now: float) -> bool:
        if now >= self.until:
            self.turn(now)
        free = self._granted - self._taken + CLOSE
        return free >= amount or (self.pending < 0.0 and free - self.pending >= amount)

    def take(self, amount: float) -> None:
        """Spend, slices first. Without enough of them it is a debt."""
        free = self._granted - self._taken
        part = amount if amount < free else free
        self._taken += part
        self._drawn += part
        self.pending += amount
        self.out += amount
        self.left -= amount

    def close(self, amount: float, used: float, since: float, now: float) -> None:
        """End what was taken at `since`: the rest goes back if its window still runs, an excess is a debt."""
        self.out -= amount
        delta = used - amount
        if not delta:
            return
        if now >= self.until:
            self.turn(now)
        if delta < 0 and since < self.begins:
            return
        if delta < 0:
            part = delta if -delta < self._drawn else -self._drawn
        else:  # an excess is paid from the slices, so that the store never counts on what is gone
            free = self._granted - self._taken
            part = delta if delta < free else free
        self._taken += part
        self._drawn += part
        self.refusal = None
        self.pending += delta
        self.left -= delta

    # ---- slices ---------------------------------------------------------------------------------

    @property
    def free(self) -> float:
        """What slices hold."""
        return self._granted - self._taken

    def short(self, amount: float) -> float:
        """What is missing for `amount`."""
        return amount - self.free - max(0.0, -self.pending)

    def add(self, amount: float, until: float) -> None:
        while self._slices and self._slices[-1][0] > until:
            self._slices.pop()  # it now ends with this one
        self._granted += amount
        self._slices.append((until, self._granted))
        self.until = min(self.until, until)
        self.refusal = None

    def drop(self) -> float:
        """Let go of all slices; what they held."""
        free = self.free
        self._granted = self._taken = self._drawn = 0.0
        self._slices.clear()
        return free

    def report(self) -> float:
        """What the store was not told yet, to be told now."""
        amount, self.pending, self._drawn = self.pending, 0.0, 0.0
        return amount

    def untold(self, amount: float, since: float, now: float) -> None:
        """The report of `since` failed: it is to be made again, unless its window is over."""
        if now >= self.until:
            self.turn(now)
        if since >= self.begins:
            self.pending += amount

    def turn(self, now: float) -> None:
        """Let go of slices and of the window whose time is up."""
        slices = self._slices
        while slices and slices[0][0] <= now:
            self._taken, self._drawn = max(self._taken, slices.popleft()[1]), 0.0
        if not slices:
            self._granted = self._taken = 0.0
        if now >= self.ends:
            begins, ends = window(self.bucket.window).bounds(now)
            self.begins, self.ends = max(begins, self.ends), ends
            self.left = self.bucket.limit
            self.pending = self._drawn = 0.0  # leases that outlive the window stand for it
        self.until = min(slices[0][0], self.ends) if slices else self.ends

    # ---- knowing --------------------------------------------------------------------------------

    def know(self, gone: float) -> None:
        """The store's answer: what is spent, lent or denied. What was lent to us is ours to spend."""
        self.left = self.bucket.limit - gone + self.free

    def refuse(self, amount: float, answer: Exhausted, now: float) -> None:
        self.refusal, self._refused = answer, amount
        self._believed = min(answer.retry_at, now + REMEMBERED)
        self.left = 0.0

    def refuses(self, amount: float, now: float) -> bool:
        """Whether the store just refused as much or less."""
        return self.refusal is not None and now < self._believed and amount >= self._refused

    def is_news(self, sighting: Sighting, now: float) -> bool:
        """Whether a sighting is worth a word with the store: many providers say with each answer what we know."""
        remaining = sighting.remaining
        return remaining is None or remaining < self.left * ALIKE or now >= self._sighted + BELIEVED

    def sight(self, sighting: Sighting, now: float) -> None:
        """Believe the provider; what was reserved before is in its count, so it is not given back again."""
        self.drop()
        self._sighted = now
        self.refusal, self.begins = None, now
        if sighting.remaining is not None:
            self.left = min(sighting.remaining, self.bucket.limit)
        if sighting.resets_at is not None:
            self.ends = min(self.ends, max(now, sighting.resets_at))
        self.until = self.ends


class Holdings(dict[Bucket, Holding]):
    """Every bucket that somebody asked about; also found by what a provider calls them."""

    def __init__(self) -> None:
        super().__init__()
        self._by_scope: defaultdict[tuple[str, Unit], list[Holding]] = defaultdict(list)

    def __missing__(self, bucket: Bucket) -> Holding:
        holding = self[bucket] = Holding(bucket)
        self._by_scope[bucket.scope, bucket.unit].append(holding)
        return holding

    def meant(self, sighting: Sighting) -> Sequence[Holding]:
        found = self._by_scope.get((sighting.scope, sighting.unit), ())
        return [holding for holding in found if same_window(sighting.window, holding.bucket.window)]

    def forget(self) -> None:
        """Drop what nobody looked at and nobody holds."""
        for bucket, held in [*self.items()]:
            if not held.seen and abs(held.out) < CLOSE and not held.pending:
                del self[bucket]
                self._by_scope[bucket.scope, bucket.unit].remove(held)
