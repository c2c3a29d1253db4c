"""Who asks, and the headers that are read: the same for every request of one client library with one key."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from llmrouter.protocols import ASGIScope

from .answers import Refused, trouble
from .auth import Keys

KNOWN = 1024  # sets of headers
KNOWN_HEAD = 4 * 1024  # bytes of names and values
LENGTH = b"content-length"
SAID = "llmrouter.said"
"""Where a scope keeps what was said, so that it is put together once."""

Said = tuple[bytes, tuple[tuple[bytes, bytes], ...]]
"""The query, and all headers but the length of the body."""


class Caller(NamedTuple):
    client: str  # the name of its key
    headers: Mapping[str, str]  # all but the length of the body


class Callers:
    """Headers that were read before are neither decoded nor is their key looked at again.

    Only those of callers that were let in, for one configuration.
    """

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self._found: dict[Said, Caller] = {}

    def find(self, scope: ASGIScope) -> Caller:
        """Who asks. Raises Refused, also for a body that could not be read."""
        said = said_of(scope)
        return self._found.get(said) or self._meet(said)

    def _meet(self, said: Said) -> Caller:
        query, pairs = said
        headers = decoded(pairs)
        caller = Caller(self._keys.check(headers, query), headers)
        encoding = headers.get("content-encoding", "identity")
        if encoding.lower() != "identity":
            message = f"The content-encoding {encoding[:40]} is not understood; send the body as it is."
            raise Refused(trouble(415, "unsupported_encoding", message), close=True)
        if sum(len(name) + len(value) for name, value in pairs) + len(query) <= KNOWN_HEAD:
            if len(self._found) >= KNOWN:
                self._found.clear()
            self._found[said] = caller
        return caller


def said_of(scope: ASGIScope) -> Said:
    """What tells a request from others, beside its path and its body."""
    said: Said | None = scope.get(SAID)
    if said is None:
        said = scope["query_string"], tuple([pair for pair in scope["headers"] if pair[0] != LENGTH])
        scope[SAID] = said
    return said


def decoded(pairs: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Headers as text; of those that came twice the last."""
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in pairs}
