"""Heads that come again: a client says the same one with each request, but for the length of its body."""

from __future__ import annotations

from typing import Any, NamedTuple

from llmrouter.protocols import ASGIScope

from .callers import LENGTH, said_of

LEARNED = 4  # heads of a connection; where none of them came again, none ever does
NAME = b"\r\ncontent-length: "
END = b"\r\n\r\n"
MOST_DIGITS = 12

Scope = dict[str, Any]


class Head(NamedTuple):
    """A head as its bytes before and behind the length, and as what it was read to."""

    before: bytes
    after: bytes
    scope: Scope
    place: int  # of the length among the headers


class Heads:
    """The head that one connection said last. What begins with the same bytes has the same scope."""

    def __init__(self) -> None:
        self._known: Head | None = None
        self._left = LEARNED

    def again(self, data: bytes) -> tuple[Scope, int, bytes] | None:
        """The scope, how much of the body is still to come and what is here, where this head came again alone."""
        if self._known is None:
            return None
        before, after, scope, place = self._known
        start = len(before)
        stop = data.find(b"\r", start, start + MOST_DIGITS)
        digits = data[start:stop]
        if not (data.startswith(before) and data.startswith(after, stop) and digits.isdigit()):
            return None
        body = data[stop + len(after) :]
        owed = int(digits) - len(body)
        if owed < 0:
            return None
        scope = scope.copy()
        scope["headers"] = headers = scope["headers"].copy()
        headers[place] = (LENGTH, digits)
        return scope, owed, body

    def learn(self, data: bytes, scope: ASGIScope) -> None:
        """Data begins with a head, and this is what it was read to."""
        if self._left:
            self._left -= 1
            self._known = _cut(data, dict(scope)) or self._known


def _cut(data: bytes, scope: Scope) -> Head | None:
    """The head that data begins with. None where more than the length may differ, or more than its body came."""
    end = data.find(END)
    places = [place for place, (name, _) in enumerate(scope["headers"]) if name == LENGTH]
    if end < 0 or len(places) != 1:
        return None
    digits = scope["headers"][places[0]][1]
    start = data[:end].lower().find(NAME) + len(NAME)
    stop = start + len(digits)
    if data[start:stop] != digits or not digits.isdigit() or len(data) - end - len(END) > int(digits):
        return None
    said_of(scope)  # once for all that come
    return Head(data[:start], data[stop : end + len(END)], scope, places[0])
