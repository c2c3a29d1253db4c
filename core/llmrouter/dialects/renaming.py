"""Names of tools that a target does not take: made to fit on the way there, put back on the way home."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b

from msgspec.structs import replace

from llmrouter.protocols import Reader
from llmrouter.types import Frame, ToolStart

_TAIL = 6  # hexadecimal digits that keep two names apart


def fitted(names: Iterable[str], unfit: re.Pattern[str], most: int) -> Mapping[str, str]:
    """Each name that is longer than `most` or has an `unfit` character → one that fits and is no other's."""
    known = set(names)
    changed: dict[str, str] = {}
    for name in known:
        if name and len(name) <= most and not unfit.search(name):
            continue
        fit = unfit.sub("_", name)[:most] or "_"
        if fit in known or fit in changed.values():
            tail = blake2b(name.encode(), digest_size=_TAIL // 2).hexdigest()
            fit = f"{fit[: most - _TAIL - 1]}_{tail}"
        changed[name] = fit
    return changed


class Renamed:
    """A reader that gives calls the names that the client knows. `names` are by what the upstream was told."""

    def __init__(self, reader: Reader, names: Mapping[str, str]) -> None:
        self._reader, self._names = reader, names

    def feed(self, data: bytes) -> Sequence[Frame]:
        return [self._told(frame) for frame in self._reader.feed(data)]

    def end(self) -> Sequence[Frame]:
        return [self._told(frame) for frame in self._reader.end()]

    def _told(self, frame: Frame) -> Frame:
        if not any(type(event) is ToolStart for event in frame.events):
            return frame
        events = [
            replace(event, name=self._names.get(event.name, event.name)) if isinstance(event, ToolStart) else event
            for event in frame.events
        ]
        return replace(frame, events=tuple(events))
