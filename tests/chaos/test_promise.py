"""The promise in its own time, which a run of chaos divides: a silent upstream costs its client eleven seconds."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from llmrouter.settings import EngineSettings
from llmrouter.testing import run
from tests.chaos.setups import loaded, tiers
from tests.house import Answer, House, Upstream, plain, streamed

HOUR = 3600.0
AT_MOST = 11.0
"""Seconds until the fallback has answered, under `resilient`."""


def engine(folder: Path, profile: str) -> EngineSettings:
    return loaded(folder, tiers(json.loads("{}")), profile).settings.engine


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "plain"])
@pytest.mark.parametrize("silent", ["before_headers", "after_headers"])
def test_a_silent_upstream_is_answered_for_within_eleven_seconds(stream: bool, silent: str, tmp_path: Path) -> None:
    settings = engine(tmp_path, "resilient")

    async def main() -> tuple[str, float]:
        mute = Answer([], wait=HOUR) if silent == "before_headers" else Answer([HOUR])
        good = Answer(streamed("here") if stream else plain("here"))
        house = House({"a/m": Upstream([mute]), "b/m": Upstream([good])}, settings=settings)
        started = asyncio.get_running_loop().time()
        socket = await house.ask(stream=stream)
        return socket.text, asyncio.get_running_loop().time() - started

    text, seconds = run(main())
    assert text == "here"
    assert seconds <= AT_MOST
