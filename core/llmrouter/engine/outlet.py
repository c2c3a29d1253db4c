"""Where an answer goes: status and headers once, then bytes; and a comment while there are none."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from llmrouter.protocols import Client, Writer

from .keep_alive import COMMENT, KeepAlive


class Outlet:
    """A client as its exchange sees it. `opened`: status and headers are sent; `committed`: some output, too."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.opened = self.committed = False
        self.status = 499
        self._keep_alive: KeepAlive | None = None

    def keep_alive(self, every: float, writer: Writer, headers: Callable[[], Mapping[str, str]]) -> None:
        """From now on a comment after so many seconds of silence, under these headers if there were none yet."""

        async def say() -> None:
            if not self.opened and (wait := self._open(200, headers())):
                await wait
            if wait := self._client.write(getattr(writer, "alive", COMMENT)):
                await wait

        self._keep_alive = KeepAlive(every, say)

    async def settle(self) -> None:
        """Wait for a comment that is being said: it decides how everything else is told."""
        if self._keep_alive and (comment := self._keep_alive.saying):
            await comment

    def write(self, data: bytes, headers: Callable[[], Mapping[str, str]]) -> Awaitable[None] | None:
        """Output, or an error after it. What goes on is handed to the client as it is: there is a lot of it.

        What must be waited for before more is written, if anything.
        """
        if alive := self._keep_alive:
            alive.wrote_at = alive.now()
            if alive.saying:
                return self._write_after(alive.saying, data, headers)
        if self.committed:
            return self._client.write(data)
        return self._commit(data, headers)

    async def _write_after(
        self, comment: Awaitable[None], data: bytes, headers: Callable[[], Mapping[str, str]]
    ) -> None:
        await comment
        if wait := self._commit(data, headers):
            await wait

    def _commit(self, data: bytes, headers: Callable[[], Mapping[str, str]]) -> Awaitable[None] | None:
        if not self.opened and (wait := self._open(200, headers())):
            return self._commit_after(wait, data)
        self.committed = True
        return self._client.write(data)

    async def _commit_after(self, head: Awaitable[None], data: bytes) -> None:
        await head
        self.committed = True
        if wait := self._client.write(data):
            await wait

    async def refuse(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        if not self.opened and (wait := self._open(status, headers)):
            await wait
        if wait := self._client.write(body):
            await wait

    def end(self) -> None:
        if self._keep_alive:
            self._keep_alive.end()
            self._keep_alive = None  # it leads back here

    def _open(self, status: int, headers: Mapping[str, str]) -> Awaitable[None] | None:
        self.opened, self.status = True, status
        return self._client.start(status, headers)
