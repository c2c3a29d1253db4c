"""A first look at recorded traffic, where it lies beside the checkout: every good answer is read whole."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from llmrouter.dialects import Chat
from llmrouter.types import OUTPUT, Event, Fault, Finish

PROVIDERS = (
    "openai",
    "deepseek",
    "groq",
    "mistral",
    "moonshot",
    "openrouter",
    "xai",
    "zai",
    "together",
    "cerebras",
)


@pytest.fixture
def recorded() -> Path:
    folder = Path(__file__).parents[2] / "shared" / "data" / "cassettes"
    if not folder.is_dir():
        pytest.skip("recorded traffic is not beside this checkout")
    return folder


def answers(folder: Path) -> Iterator[tuple[str, str, bool]]:
    """Name, body and shape of every recorded Chat Completions answer with a good status."""
    for file in json.loads((folder / "manifest.json").read_text())["files"]:
        told = [(at, one) for at, one in enumerate(file["interactions"]) if one["endpoint"] == "chat.completions"]
        if file["provider"] not in PROVIDERS or not told:
            continue
        recording = json.loads((folder / file["file"]).read_text())["interactions"]
        for at, one in told:
            body: dict[str, Any] = recording[at]["response"]["body"]
            if one["status"] == 200 and one["response_body"] in ("json", "sse"):
                yield file["file"], body["string"], one["stream"]


def read(body: bytes, stream: bool, size: int) -> list[Event]:
    reader = Chat().reader("chat", stream)
    frames = [frame for at in range(0, len(body), size) for frame in reader.feed(body[at : at + size])]
    return [event for frame in [*frames, *reader.end()] for event in frame.events]


@pytest.mark.recordings
def test_recorded_answers_are_read_in_any_split(recorded: Path) -> None:
    seen, unfinished = 0, []
    for name, body, stream in answers(recorded):
        events = read(body.encode(), stream, 1 << 20)
        assert read(body.encode(), stream, 1009) == events, name
        whole = any(isinstance(event, Finish) for event in events) and any(isinstance(e, OUTPUT) for e in events)
        if not whole and not any(isinstance(event, Fault) for event in events):
            unfinished.append(name)
        seen += 1
    assert seen > 300
    assert len(unfinished) <= seen // 50, unfinished
