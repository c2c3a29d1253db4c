"""What the plugin builds: bounded, and without a state."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from llmrouter.types import ToolCall

from . import calling, finding


@frozen
class Mender:
    """`max_bytes` is how much of UTF-8 is looked at; a longer text is not."""

    max_bytes: int

    def json(self, text: str) -> str | None:
        return finding.found(text) if self._fits(text) else None

    def calls(self, text: str, tools: Sequence[str]) -> Sequence[ToolCall] | None:
        return calling.calls(text, frozenset(tools)) if tools and self._fits(text) else None

    def _fits(self, text: str) -> bool:
        """A lone surrogate is no text that JSON could hold."""
        try:
            return len(text) <= self.max_bytes and len(text.encode()) <= self.max_bytes
        except UnicodeEncodeError:
            return False
