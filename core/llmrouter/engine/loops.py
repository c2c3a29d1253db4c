"""A text that has begun to repeat itself: what a model says that has lost its way, up to its limit.

Legitimate text repeats itself as well: rules, tables to be filled in, matrices of zeros, lines to be copied a
hundred times. So a loop has to be long before it is called one, and longer where its unit has no letters.
"""

from __future__ import annotations

import msgspec

LONGEST = 1_000
"""Characters of the longest unit that is looked for."""
REPEATS = 8
LEAST = 4_000
"""Characters that a unit has to fill: of letters, or one sign alone."""
LEAST_SIGNS = 8_000
"""The same for a unit of several signs and digits: a row of a table, a matrix, an array of equal numbers."""

_WINDOW = max(REPEATS * LONGEST, LEAST_SIGNS)
_EVERY = 512  # characters between two looks
_PROBE = 256  # characters at the end whose last occurrence before gives the length of the unit
_TRIES = 4  # occurrences that are tried: the probe may repeat itself inside of a unit


class Strand(msgspec.Struct, eq=False):
    """What an answer said of one kind, in the pieces that it came in."""

    pieces: list[str] = []
    size: int = 0  # characters of them
    due: int = LEAST  # the size at which to look
    _looked: int = 0  # pieces that are in the tail
    _tail: str = ""

    def add(self, piece: str) -> bool:
        """Whether the text loops now. It is looked at every few hundred characters: most pieces cost nothing."""
        self.pieces.append(piece)
        self.size += len(piece)
        return self.size >= self.due and self.loops()

    def loops(self) -> bool:
        if self.size < LEAST:
            return False
        self._tail = (self._tail + "".join(self.pieces[self._looked :]))[-_WINDOW:]
        self._looked, self.due = len(self.pieces), self.size + _EVERY
        return bool(unit(self._tail))


def unit(tail: str) -> str:
    """What the end of a text consists of, again and again; "" where it does not."""
    probe, end = tail[-_PROBE:], len(tail) - 1
    low = max(0, len(tail) - _PROBE - LONGEST)
    for _ in range(_TRIES):
        at = tail.rfind(probe, low, end)
        if at < 0:
            break
        period, end = len(tail) - len(probe) - at, at + len(probe) - 1
        found = tail[-period:]
        needed = max(_least(found), REPEATS * period)
        if len(tail) >= needed and tail.endswith(tail[-needed:-period]):
            return found
    return ""


def _least(found: str) -> int:
    return LEAST if len(found) == 1 or any(map(str.isalpha, found)) else LEAST_SIGNS
