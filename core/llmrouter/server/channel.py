"""What carries one request in and its answer out: our own `Cycle`, or any other server by way of ASGI."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from typing import Any, Protocol

from llmrouter.protocols import ASGIReceive, ASGISend


class Channel(Protocol):
    """ASGI, and a shorter way for what nearly every request needs: it returns what must be waited for, if anything.

    Names of headers are in lower case; the length of the body and how it is framed are not among them.
    """

    @property
    def task(self) -> asyncio.Task[Any]:
        """Whose request this is."""

    @property
    def receive(self) -> ASGIReceive: ...
    @property
    def send(self) -> ASGISend: ...

    def at_hand(self, most: int) -> bytes | None:
        """The body, where all of it has come and it is no longer than `most` bytes: it is not received then."""

    def answer(self, status: int, headers: Mapping[str, str], body: bytes) -> Awaitable[None] | None:
        """A whole answer."""

    def begin(self, status: int, headers: Mapping[str, str]) -> Awaitable[None] | None:
        """An answer to a POST whose length nobody knows; then `write` as often as one likes, and `finish`."""

    def write(self, data: bytes) -> Awaitable[None] | None: ...
    def finish(self) -> Awaitable[None] | None: ...


class OverASGI:
    """The channel of a server that knows ASGI and no more."""

    def __init__(self, receive: ASGIReceive, send: ASGISend) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.task: asyncio.Task[Any] = task
        self.receive, self.send = receive, send

    def at_hand(self, most: int) -> bytes | None:
        return None

    async def answer(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        await self.begin(status, {**headers, "content-length": str(len(body))})
        await self.send({"type": "http.response.body", "body": body})

    async def begin(self, status: int, headers: Mapping[str, str]) -> None:
        pairs = [(name.encode(), tamed(value)) for name, value in headers.items()]
        await self.send({"type": "http.response.start", "status": status, "headers": pairs})

    async def write(self, data: bytes) -> None:
        await self.send({"type": "http.response.body", "body": data, "more_body": True})

    async def finish(self) -> None:
        await self.send({"type": "http.response.body", "body": b""})


def tamed(value: str) -> bytes:
    """A header's value as a server lets it pass: some refuse all of an answer for one control character."""
    if not value.isprintable():
        value = "".join(one if one.isprintable() else "?" for one in value)
    return value.encode("latin-1", "replace")
