"""How many real exchanges with each provider there are, by endpoint: `recorded.json`, made from the manifest.

`python -m tests.pages.evidence` writes it anew where the recordings are beside the checkout.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from tests.recordings.families import OPENAI
from tests.recordings.library import FOLDER

FILE = Path(__file__).with_name("recorded.json")
SURFACES: Mapping[str, tuple[str, ...]] = {
    "openai.chat": ("chat.completions",),
    "openai.responses": ("responses",),
    "openai.completions": ("completions",),
    "openai.embeddings": ("embeddings",),
    "anthropic.messages": ("messages", "messages.count_tokens"),
    "gemini.generate": ("generateContent", "streamGenerateContent", "countTokens"),
    "gemini.embed": ("batchEmbedContents",),
    "ollama.chat": ("api.chat",),
    "rerank": ("rerank",),
}
"""The manifest's names of what is said in a dialect."""
LISTS = "models"

Counts = Mapping[str, Mapping[str, int]]
"""By provider, by endpoint."""


def recorded() -> Counts:
    counts: Counts = json.loads(FILE.read_text("utf-8"))
    return counts


def counted() -> Counts:
    """The same, from the manifest."""
    known = {endpoint for endpoints in SURFACES.values() for endpoint in endpoints}
    found: dict[str, Counter[str]] = {}
    for file in json.loads((FOLDER / "manifest.json").read_text("utf-8"))["files"]:
        for one in file["interactions"]:
            is_list = one["endpoint"] == LISTS and one["method"] == "GET" and one["status"] == 200
            if is_list or one["endpoint"] in known:
                found.setdefault(one["provider"], Counter())[one["endpoint"]] += 1
    return {name: dict(sorted(counts.items())) for name, counts in sorted(found.items())}


def of(provider: str, plugin: str, counts: Counts) -> Mapping[str, int]:
    """What was recorded of a provider, but for endpoints that only share their name with this plugin's."""
    foreign = OPENAI.foreign if plugin in ("openai", "ollama") else {}
    return {name: count for name, count in counts.get(provider, {}).items() if (provider, name) not in foreign}


if __name__ == "__main__":
    FILE.write_text(json.dumps(counted(), indent=1) + "\n", "utf-8")
