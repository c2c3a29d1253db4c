"""Reasoning items ⇄ thoughts and their signatures.

`encrypted_content` is what a vendor wants back of a thought, and clients send it back as it came: so foreign
signatures travel there with a mark, those of calls as items of their own before the call.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from llmrouter.types import Thought

from .signatures import tagged, untagged

NAME = "openai.responses"
Kind = Literal["thought", "redacted", "call"]

_MARKS: Mapping[Kind, str] = {"thought": "", "redacted": "redacted:", "call": "call:"}


class Seal(NamedTuple):
    """What stands in `encrypted_content`: a signature, whose it is, and what it signs."""

    signature: str
    source: str
    kind: Kind = "thought"

    def written(self) -> str:
        """As it stands in a reasoning item."""
        if self.source == NAME:
            return self.signature
        return tagged(_MARKS[self.kind] + self.signature, self.source, NAME)


def seal_of(item: Mapping[str, Any]) -> Seal | None:
    """The seal of a reasoning item; None where it has none."""
    said = item.get("encrypted_content")
    if not said or not isinstance(said, str):
        return None
    signature, source = untagged(said, NAME)
    if source == NAME:
        return Seal(signature, source)
    for kind, mark in _MARKS.items():
        if mark and signature.startswith(mark):
            return Seal(signature.removeprefix(mark), source, kind)
    return Seal(signature, source)


def read_thought(item: Mapping[str, Any]) -> Thought | None:
    """The thought of a reasoning item: its summary, or else its own text. None where it says nothing."""
    text = texts(item.get("summary"), "\n\n") or texts(item.get("content"), "")
    seal = seal_of(item)
    if seal is None:
        return Thought(text) if text else None
    redacted = seal.kind == "redacted" or (seal.source == NAME and not text)
    return Thought(text, seal.signature, seal.source, redacted)


def write_thought(thought: Thought) -> dict[str, Any] | None:
    """The reasoning item of a thought; None for one that no endpoint of this dialect has signed."""
    if not thought.signature or thought.source != NAME:
        return None
    return {"type": "reasoning", "summary": summary(thought.text), "encrypted_content": thought.signature}


def summary(text: str) -> list[dict[str, str]]:
    return [{"type": "summary_text", "text": text}] if text else []


def texts(parts: Any, between: str) -> str:
    """The texts of a list of parts, joined."""
    listed = [part.get("text") for part in parts if isinstance(part, dict)] if isinstance(parts, list) else []
    return between.join([text for text in listed if isinstance(text, str) and text])
