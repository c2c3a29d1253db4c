"""`usageMetadata` ⇄ exclusive buckets.

`promptTokenCount` includes what the cache gave and leaves out what tools of the vendor's own read;
`candidatesTokenCount` leaves out thoughts. The counts of a stream are those up to the chunk: the last ones count.
"""

from __future__ import annotations

from typing import Any

import msgspec

from llmrouter.types import Usage


class Counts(msgspec.Struct, gc=False):
    promptTokenCount: int | None = None
    candidatesTokenCount: int | None = None
    thoughtsTokenCount: int | None = None
    cachedContentTokenCount: int | None = None
    toolUsePromptTokenCount: int | None = None
    totalTokenCount: int | None = None


def read_usage(counts: Counts) -> Usage | None:
    """None where nothing was counted yet."""
    if counts.promptTokenCount is None and counts.totalTokenCount is None:
        return None
    prompt = (counts.promptTokenCount or 0) + (counts.toolUsePromptTokenCount or 0)
    cached = min(counts.cachedContentTokenCount or 0, prompt)
    return Usage(
        input=prompt - cached,
        cache_read=cached,
        output=counts.candidatesTokenCount or 0,
        reasoning=counts.thoughtsTokenCount or 0,
    )


def write_usage(usage: Usage) -> dict[str, Any]:
    written = {
        "promptTokenCount": usage.prompt,
        "candidatesTokenCount": usage.output,
        "totalTokenCount": usage.prompt + usage.completion,
    }
    if usage.reasoning:
        written["thoughtsTokenCount"] = usage.reasoning
    if usage.cache_read:
        written["cachedContentTokenCount"] = usage.cache_read
    return written
