"""Bytes → server-sent events, by the WHATWG grammar, each with the very bytes it came in."""

from __future__ import annotations

import re
from collections.abc import Iterator

from .common import BOM

MAX_EVENT = 64 * 1024 * 1024
"""Bytes of one event, or of one plain body; a longer one is not waited for."""

_LINE_END = re.compile(rb"\r\n|\n|\r")
_BLANK_LINE = re.compile(rb"(?>\r\n|\n|\r)(?>\r\n|\n|\r)")
_OVERLAP = 3  # bytes of a blank line that may stand at the end of what was searched before
CR = 13  # as a number: asked for as bytes, `in` tries that first and raises an error of its own


Event = tuple[bytes, bytes | None, str]
"""Raw bytes, data and name; the data is None where there is none: in a comment, a blank line."""


class Events:
    """Cuts a stream into events. Any split of the bytes gives the same events."""

    whole = re.compile(rb"data: (.*)\n\n").fullmatch
    """Matches bytes that are one event of one line, as nearly all are, if no CR is in them; group 1 is the data."""

    def __init__(self, limit: int = MAX_EVENT) -> None:
        self._limit = limit
        self.overflown = False
        self.rest = bytearray()  # of an event whose end has not come

    def feed(self, data: bytes) -> list[Event]:
        if self.overflown:
            return []
        if not self.rest and data.find(b"\n\n") == len(data) - 2 >= 0 and CR not in data:
            return [self._event(data)]  # one that comes alone, of several lines
        buffer, self.rest = self.rest, bytearray()
        searched = max(0, len(buffer) - _OVERLAP)
        buffer += data
        events, start = [], 0
        for end in _cuts(buffer, searched):
            events.append(self._event(bytes(buffer[start:end])))
            start = end
        del buffer[:start]
        if len(buffer) > self._limit:
            self.overflown = True
        else:
            self.rest = buffer
        return events

    def end(self) -> Event | None:
        """What stands after the last blank line, closed as if one had followed."""
        rest, self.rest = bytes(self.rest), bytearray()
        if not rest:
            return None
        return self._event(rest + (b"\n" if rest.endswith((b"\n", b"\r")) else b"\n\n"))

    def _event(self, raw: bytes) -> Event:
        if (found := Events.whole(raw)) and CR not in raw:
            return raw, found[1], ""
        lines: list[bytes] = []
        name = ""
        for line in _LINE_END.split(raw.removeprefix(BOM)):
            field, _, value = line.partition(b":")
            if field == b"data":
                lines.append(value.removeprefix(b" "))
            elif field == b"event":
                name = value.removeprefix(b" ").decode(errors="replace")
        return raw, b"\n".join(lines) if lines else None, name


def _cuts(buffer: bytearray, at: int) -> Iterator[int]:
    """Where events end. A last CR waits: an LF behind it would belong to the same line end."""
    if CR not in buffer:
        while (end := buffer.find(b"\n\n", at) + 2) > 1:
            yield end
            at = end
        return
    for found in _BLANK_LINE.finditer(buffer, at):
        if found.end() < len(buffer) or buffer.endswith(b"\n"):
            yield found.end()
