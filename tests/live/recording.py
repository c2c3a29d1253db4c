"""An exam over real sockets, over a tape, or over both: httpx's transport, with vcrpy underneath."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Literal

import vcr  # type: ignore[import-untyped]

from llmrouter.http import open_transport
from llmrouter.testing.context import FakeContext

from .exams import EXAMS, Sitting
from .scrubbing import Scrubber
from .vendors import STAND_IN, Vendor

RECORD = "LLMROUTER_RECORD"
Mode = Literal["live", "record", "replay"]


def mode() -> Mode:
    """How the environment wants live tests to run."""
    return "record" if os.environ.get(RECORD) == "1" else "live"


def sit(vendor: Vendor, exam: str, mode: Mode, folder: Path | None = None) -> None:
    """Hold one exam. `folder` has the cassettes, the plugin's own where none is said."""
    cassette = (folder or vendor.cassettes) / f"{exam}.yaml"
    scrubber = Scrubber([vendor.key] if vendor.key != STAND_IN else [])

    async def main() -> None:
        async with open_transport(connect=10, limit=None, kind="httpx") as transport:
            sitting = Sitting(vendor, FakeContext(vendor.name, transport=transport))
            async with asyncio.timeout(120):
                await EXAMS[exam](sitting)

    if mode == "live":
        asyncio.run(main())
        return
    with _tape(scrubber, mode).use_cassette(str(cassette)) as tape:
        asyncio.run(main())
        assert mode == "record" or tape.all_played
    if mode == "record":
        scrubber.check(cassette)


def _tape(scrubber: Scrubber, mode: Mode) -> vcr.VCR:
    return vcr.VCR(
        record_mode="all" if mode == "record" else "none",
        drop_unused_requests=mode == "record",
        match_on=["method", "path", "query", "body"],
        before_record_request=scrubber.request,
        before_record_response=scrubber.response,
    )
