"""How much of what was recorded is replayed: every endpoint that is served, of every provider that is named."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from tests.telling import Tell

from .families import ANTHROPIC, COUNTS, GEMINI, MESSAGES_ON_VERTEX, OLLAMA, OPENAI, RERANK, RESPONSES
from .library import FOLDER, exchanges, require

pytestmark = pytest.mark.recordings

FAMILIES = (OPENAI, RESPONSES, COUNTS, ANTHROPIC, MESSAGES_ON_VERTEX, GEMINI, RERANK, OLLAMA)
NAMED = {
    "openai", "anthropic", "gemini", "vertex", "openrouter", "xai", "mistral", "deepseek", "groq", "ollama", "zai",
    "moonshot", "cerebras", "together", "voyage", "cohere",
}  # fmt: skip
ELSEWHERE = {
    "chat.v1", "chat.v2", "api.generate", "batches", "converse", "generation", "interactions", "moderations",
    "tokenize",
}  # fmt: skip
"""Endpoints of vendors that nobody serves here."""
LEAST = 0.98


def test_what_is_served_is_replayed(tell: Tell) -> None:
    require()
    manifest = json.loads((FOLDER / "manifest.json").read_text())["files"]
    recorded = Counter(
        one["endpoint"]
        for file in manifest
        for one in file["interactions"]
        if one["provider"] in NAMED and one["endpoint"] not in ELSEWHERE
    )
    replayed = Counter(
        one.endpoint
        for one in {e.id: e for family in FAMILIES for e in exchanges(family)[0]}.values()
        if one.provider in NAMED
    )
    for endpoint, count in recorded.most_common():
        tell(f"recordings of {endpoint}: {replayed[endpoint]} of {count}")
    tell(f"recordings of what is served: {replayed.total()} of {recorded.total()}")
    assert not set(replayed) - set(recorded)
    assert replayed.total() >= LEAST * recorded.total()
