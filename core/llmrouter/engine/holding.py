"""One bucket as one worker holds it: slices to spend, what is not reported yet, what is known of the rest."""

from __future__ import annotations

import math
from collections import defaultdict, deque
from collections.abc import Container, Sequence

from attrs import define, field

from llmrouter.quota import same_window, window
from llmrouter.types import Ask, Bucket, Exhausted, Sighting, Unit

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
    """What slices hold, and what was taken since the last report: what is taken can be given back to them.

    When more was given back than taken it is allowance too: the store counts it as spent, so it can be spent here.
    """

    bucket: Bucket
    seen: bool = True  # somebody looked since the store was last asked how much is left
    lent: float = 0.0  # by slices that have not ended, beside what is reported
    taken: float = 0.0  # since the last report, less what was given back; more than `lent` is a debt
    known: float = field(init=False)  # what is left of the limit, had nothing been taken since the last report
    whole: float = field(init=False)  # the limit; 1 where it is 0, of which nothing is left either way
    until: float = -math.inf  # when the first slice ends, or the window
    begins: float = -math.inf  # of the window, or of the last sighting
    ends: float = -math.inf  # of the window
    refusal: Exhausted | None = None
    _late: float = 0.0  # taken of what has ended before it was reported: it can go back to nothing
    _refused: float = 0.0  # the amount
    _believed: float = -math.inf  # until when
    _sighted: float = -math.inf  # when a provider's word was taken in
    _slices: deque[tuple[float, float]] = field(factory=deque)  # (until, amount)

    def __attrs_post_init__(self) -> None:
        self.known = self.bucket.limit
        self.whole = self.known or 1.0

    # ---- taking ---------------------------------------------------------------------------------

    def owe(self, amount: float, now: float) -> None:
        """Take an amount, be it here or not."""
        if now >= self.until:
            self.turn(now)
        self.taken += amount

    def book(self, delta: float, since: float, now: float) -> None:
        """More was spent than was taken at `since`, or less, which goes back if its window still runs.

        An excess is paid from the slices, so that the store never counts on what is gone.
        """
        if now >= self.until:
            self.turn(now)
        if delta < 0 and since < self.begins:
            return
        self.taken += delta
        if self._late:
            self._pay()
        self.refusal = None

    # ---- slices ---------------------------------------------------------------------------------

    @property
    def free(self) -> float:
        """What slices hold."""
        return max(0.0, self.lent - max(0.0, self.taken))

    @property
    def pending(self) -> float:
        """What the store was not told yet."""
        return self.taken + self._late

    def short(self, amount: float) -> float:
        """What is missing for `amount`, and to pay a debt with."""
        return amount + self.taken - self.lent if amount else 0.0

    def add(self, amount: float, until: float) -> None:
        whole = amount
        while self._slices and self._slices[-1][0] > until:
            whole += self._slices.pop()[1]  # it now ends with this one
        self._slices.append((until, whole))
        self.lent += amount
        self.until = min(self.until, until)
        self.refusal = None

    def drop(self) -> float:
        """Let go of all slices; what they held."""
        free = self.free
        self._slices.clear()
        self._end()
        return free

    def report(self) -> float:
        """What the store was not told yet, to be told now."""
        self._set_aside()
        amount, self._late = self._late, 0.0
        return amount

    def untold(self, amount: float, since: float, now: float) -> None:
        """The report of `since` failed: it is to be made again, unless its window is over."""
        if now >= self.until:
            self.turn(now)
        if since < self.begins:
            return
        if amount > 0:
            self._late += amount
        else:
            self.taken += amount
            self.known += amount
        self._pay()

    def turn(self, now: float) -> None:
        """Let go of slices and of the window whose time is up."""
        slices = self._slices
        if slices and slices[0][0] <= now:
            while slices and slices[0][0] <= now:
                slices.popleft()
            self._end()
        if now >= self.ends:
            begins, ends = window(self.bucket.window).bounds(now)
            self.begins, self.ends = max(begins, self.ends), ends
            self._set_aside()
            self.known, self._late = self.bucket.limit, 0.0  # leases that outlive the window stand for it
        self.until = min(slices[0][0], self.ends) if slices else self.ends

    def _end(self) -> None:
        """Some slices are no more: the others hold no more than they were."""
        if self.taken > 0:
            self._set_aside()
        self.lent = min(self.lent, sum(amount for _, amount in self._slices))

    def _pay(self) -> None:
        """What was given back is no allowance before what is late is paid."""
        late = min(self._late, -self.taken)
        if late > 0:
            self._late -= late
            self.taken += late
            self.known += late

    def _set_aside(self) -> None:
        """What was taken can no longer go back."""
        self.lent = self.free
        self.known -= self.taken
        self._late += self.taken
        self.taken = 0.0

    # ---- knowing --------------------------------------------------------------------------------

    @property
    def left(self) -> float:
        """What is left of the limit, as far as this worker knows."""
        return self.known - self.taken

    @left.setter
    def left(self, amount: float) -> None:
        self.known = amount + self.taken

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

    def take(self, asks: Sequence[Ask], now: float) -> bool:
        """Take all amounts, or none where one of them is not here."""
        for place, ask in enumerate(asks):
            holding, amount = self[ask.bucket], ask.amount
            if now >= holding.until:
                holding.turn(now)
            taken = holding.taken + amount
            if taken > holding.lent + CLOSE and amount:
                for before in asks[:place]:
                    self[before.bucket].taken -= before.amount
                return False
            holding.taken = taken
        return True

    def meant(self, sighting: Sighting) -> Sequence[Holding]:
        found = self._by_scope.get((sighting.scope, sighting.unit), ())
        return [holding for holding in found if same_window(sighting.window, holding.bucket.window)]

    def forget(self, held: Container[Bucket]) -> None:
        """Drop what nobody looked at and nobody holds."""
        for bucket, one in [*self.items()]:
            if not one.seen and bucket not in held and abs(one.pending) < CLOSE:
                del self[bucket]
                self._by_scope[bucket.scope, bucket.unit].remove(one)
