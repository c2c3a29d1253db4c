# ruff: noqa: TID251 (this package is the one place that knows the HTTP clients)
"""What both transports share: the body of an answer, and the mapping of foreign errors."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from functools import lru_cache
from types import TracebackType
from typing import cast

import httpx
from attrs import frozen

from llmrouter.errors import TransportError
from llmrouter.types import Kind

Pair = tuple[bytes, bytes]
"""A header: name and value."""


class Garbled(Exception):
    """What came is not HTTP, or without measure."""


FOREIGN = (OSError, Garbled, httpx.HTTPError, httpx.StreamError, httpx.InvalidURL)
"""What the clients raise, and becomes TransportError."""
_UNSENT = (httpx.ConnectError, httpx.ConnectTimeout)
_SILENCE = (TimeoutError, httpx.TimeoutException)


class Body(httpx.AsyncByteStream):
    """The bytes of an answer. `close` returns at once and ends the iteration, also one that is waiting."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError

    async def aclose(self) -> None:
        self.close()


@frozen
class Mapped:
    """A context in which errors of the clients become TransportError."""

    broken: Kind
    silent: Kind  # for time-outs
    garbled: Kind  # for what is not HTTP
    sent: bool = True  # something of the request may have arrived

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, FOREIGN):
            raise self.told(error) from error

    def told(self, error: BaseException) -> TransportError:
        """The error in our words; to be raised, where a `with` for each chunk would cost too much."""
        sent = self.sent and not isinstance(error, _UNSENT)
        return TransportError(self._name(error), f"{type(error).__name__}: {error}"[:500], sent)

    def _name(self, error: BaseException) -> Kind:
        if isinstance(error, httpx.ConnectTimeout):
            return "connect"
        if isinstance(error, _SILENCE):
            return self.silent
        return self.garbled if _is_garbled(error) else self.broken


CONNECTING = Mapped("connect", "connect", "connect", sent=False)
OPENING = Mapped("connect", "timeout_headers", "server_error")
READING = Mapped("truncated", "truncated", "truncated")


def _is_garbled(error: BaseException) -> bool:
    if isinstance(error, httpx.RemoteProtocolError):
        return "disconnected" not in str(error)  # httpx has one class for a garbled head and for none
    return isinstance(error, Garbled)


def patience(request: httpx.Request) -> float | None:
    """Seconds that the headers of the answer may take, from the call on."""
    return cast("float | None", request.extensions.get("timeout", {}).get("read"))


def decoded(headers: Iterable[Pair]) -> list[Pair]:
    """The headers of a body that was decoded on the way."""
    return [pair for pair in headers if pair[0].lower() not in (b"content-encoding", b"content-length")]


@lru_cache(maxsize=1024)
def named(name: bytes) -> str:
    """The name of a header as it is looked for. Servers say the same ones with each answer."""
    return name.lower().decode("latin-1")


def joined(pairs: Iterable[Pair]) -> dict[str, str]:
    """Headers by their names in lower case; the values of one that came twice with a comma between."""
    found: dict[str, str] = {}
    for raw, value in pairs:
        name, text = named(raw), value.decode("latin-1")
        found[name] = f"{found[name]}, {text}" if name in found else text
    return found
