"""Two attempts at once: the first whose answer may be written wins."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from llmrouter.types import Failure

from .attempt import Attempt

LOST = Failure(kind="lost", scope="request", message="another answered first", by="race")

Send = Callable[[Attempt], Coroutine[Any, Any, Failure | None]]


async def race(
    first: Attempt,
    after: float,
    send: Send,
    second: Callable[[Attempt], Awaitable[Attempt | None]],
    failed: Callable[[Attempt, Failure], None],
) -> tuple[Attempt, Failure | None]:
    """Send the first, and where it says nothing for `after` seconds a second beside it.

    The winner, or who failed last and why; `failed` is told of one that failed while the other went on. Only the
    race cancels what it began, once; the loser's reply is closed at once.
    """
    loop = asyncio.get_running_loop()
    racing: dict[asyncio.Task[Failure | None], Attempt] = {loop.create_task(send(first)): first}
    winner: Attempt | None = None
    try:
        await asyncio.wait(racing, timeout=after)
        if (
            not any(task.done() for task in racing)
            and first.first_output is None
            and (other := await second(first))
        ):
            racing[loop.create_task(send(other))] = other
        while True:
            await asyncio.wait(racing, return_when=asyncio.FIRST_COMPLETED)
            for task in [task for task in racing if task.done()]:
                attempt, failure = racing.pop(task), task.result()
                if failure is None:
                    winner = attempt
                if failure is None or not racing:
                    return attempt, failure
                failed(attempt, failure)
    finally:
        for task, attempt in racing.items():
            task.cancel()
            if winner:
                attempt.finish(LOST)
