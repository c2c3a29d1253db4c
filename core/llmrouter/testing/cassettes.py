"""What real providers said, kept in files: vcrpy underneath httpx's transport, and nothing of who asked."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TypeVar

import vcr  # type: ignore[import-untyped]

from llmrouter.http import open_transport
from llmrouter.protocols import Transport

from .scrubbing import Scrubber

T = TypeVar("T")

RECORD = "LLMROUTER_RECORD"


def recording() -> bool:
    """Whether the environment asks for new cassettes."""
    return os.environ.get(RECORD) == "1"


def online(main: Callable[[Transport], Awaitable[T]]) -> T:
    """What `main` returns, over a transport that vcrpy can listen to."""

    async def over() -> T:
        async with open_transport(connect=10, limit=None, kind="httpx") as transport, asyncio.timeout(120):
            return await main(transport)

    return asyncio.run(over())


def played(
    cassette: Path, main: Callable[[Transport], Awaitable[T]], secrets: Sequence[str] = (), record: bool = False
) -> T:
    """What `main` returns when a cassette answers it. All that is in it has to be asked for, and nothing else.

    `record` asks the real provider, and writes the cassette anew once all went well: headers are let through by
    name, `secrets` and what looks like one are replaced. Raises Leak where one would have stood in it all the same.
    """
    scrubber = Scrubber(secrets)
    if record:
        return _recorded(cassette, main, scrubber)
    with _tape(scrubber, "none").use_cassette(str(cassette)) as tape:
        found = online(main)
        assert tape.all_played, f"{cassette.name} has more than was asked for"
    return found


def _recorded(cassette: Path, main: Callable[[Transport], Awaitable[T]], scrubber: Scrubber) -> T:
    """The cassette that was there stays until its successor is whole and clean."""
    fresh = cassette.with_suffix(".new")
    try:
        with _tape(scrubber, "all").use_cassette(str(fresh)):
            found = online(main)
        scrubber.check(fresh)
        fresh.replace(cassette)
    finally:
        fresh.unlink(missing_ok=True)
    return found


def _tape(scrubber: Scrubber, mode: str) -> vcr.VCR:
    return vcr.VCR(
        record_mode=mode,
        match_on=["method", "path", "query", "body"],
        before_record_request=scrubber.request,
        before_record_response=scrubber.response,
    )
