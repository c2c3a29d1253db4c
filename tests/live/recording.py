"""An exam over real sockets, over a cassette, or over both."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from llmrouter.protocols import Transport
from llmrouter.testing.cassettes import online, played, recording
from llmrouter.testing.context import FakeContext

from .exams import EXAMS, Sitting
from .vendors import STAND_IN, Vendor

Mode = Literal["live", "record", "replay"]


def mode() -> Mode:
    """How the environment wants live tests to run."""
    return "record" if recording() else "live"


def sit(vendor: Vendor, exam: str, mode: Mode, folder: Path | None = None) -> None:
    """Hold one exam. `folder` has the cassettes, the plugin's own where none is said."""

    async def main(transport: Transport) -> None:
        await EXAMS[exam](Sitting(vendor, FakeContext(vendor.name, transport=transport)))

    if mode == "live":
        return online(main)
    secrets = [vendor.key] if vendor.key != STAND_IN else []
    return played((folder or vendor.cassettes) / f"{exam}.yaml", main, secrets, record=mode == "record")
