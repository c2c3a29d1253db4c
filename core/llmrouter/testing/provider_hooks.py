"""What the contract of a provider has to be told."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from llmrouter.protocols import Provider, ProviderType, Reply
from llmrouter.settings import ProviderSettings
from llmrouter.types import Call

from .clock import run


class ProviderHooks:
    """What the author of a provider says about it; all the tests below ask here.

    Calls run in virtual time. A provider over real sockets sets `execute = asyncio.run`.
    """

    descriptor: ProviderType
    secrets: Sequence[str] = ()
    """What may be shown nowhere: the keys of `config`, in full."""
    execute: Callable[..., Any] = staticmethod(run)

    def config(self) -> ProviderSettings:
        """Settings with at least one model."""
        raise NotImplementedError

    def provider(self) -> Any:
        """A provider whose upstream answers every call well, or the async context manager that gives it."""
        raise NotImplementedError

    def call(self, stream: bool) -> Call:
        """A call that its upstream answers with several chunks when streaming."""
        raise NotImplementedError

    def scripted(self, status: int, headers: Mapping[str, str], body: bytes) -> Any:
        """A provider whose upstream answers so; None where that cannot be arranged."""
        return None

    def unreachable(self) -> Any:
        """A provider whose upstream is not there; None where that cannot be arranged."""
        return None

    @property
    def streams(self) -> bool:
        """Whether its answers may be streams. Where they never are, what is said of streams is said of bodies."""
        return True

    # ---- helpers

    def asked(self, stream: bool) -> Call:
        return self.call(stream and self.streams)

    @asynccontextmanager
    async def opened(self, made: Any) -> AsyncIterator[Provider]:
        if not hasattr(made, "__aenter__"):
            yield made
            return
        async with made as provider:
            yield provider

    def with_reply(self, stream: bool, body: Callable[[Reply], Coroutine[Any, Any, None]]) -> None:
        """Run a test's body over a reply that is closed afterwards; nothing may be left running."""

        async def main() -> None:
            async with self.opened(self.provider()) as provider:
                reply = await provider.send(self.asked(stream))
                try:
                    await body(reply)
                finally:
                    reply.close()
            await settled()

        self.execute(main())


async def settled() -> None:
    """Let what was closed be reaped; then nothing of the test may still run."""
    for _ in range(10):
        await asyncio.sleep(0)
    await asyncio.sleep(0.01)
    gc.collect()  # an iterator that was left behind is finished now, not in some later test
    await asyncio.sleep(0)
    left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    assert not left, f"still running: {left}"
