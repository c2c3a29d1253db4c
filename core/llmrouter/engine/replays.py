"""What need not be done again when the cache answers the same request again.

The cache knows answers by the meaning of a request, and as bytes. To find the meaning a body is decoded, and to
replay the bytes they are read; both cost more than all the rest of such an answer, and both come out the same.
"""

from __future__ import annotations

from collections.abc import Mapping

from llmrouter.protocols import Dialect
from llmrouter.recent import Recent
from llmrouter.types import Fields, Request

from . import recording
from .recording import Tape

MOST = 1024
LARGEST = 64 * 1024
"""Bytes of a recording that is kept read."""


class Replays:
    """Keys of bodies that were opened before, and recordings that were read before: the most recent ones."""

    def __init__(self) -> None:
        self._keys: Recent[tuple[int, str, str], tuple[Fields, str]] = Recent(MOST)
        self._tapes: Recent[bytes, Tape] = Recent(MOST)

    def key(self, dialect: Dialect, request: Request, *, shared: bool) -> str:
        """The key of `recording.key`; the door hands out the same fields for a body that it knows."""
        client = "" if shared else request.facts.client
        place = (id(request.fields), client, request.facts.asked)
        found = self._keys.get(place)
        if found is not None and found[0] is request.fields:  # it is held here, so nothing else has its id
            return found[1]
        key = recording.key(dialect, request, client)
        self._keys.put(place, (request.fields, key))
        return key

    def tape(self, kept: bytes, dialects: Mapping[str, Dialect]) -> Tape:
        """A recording from its bytes. Raises msgspec.DecodeError for what is none."""
        found = self._tapes.get(kept)
        if found is None:
            found = Tape(kept, dialects)
            if len(kept) <= LARGEST:
                self._tapes.put(kept, found)
        return found
