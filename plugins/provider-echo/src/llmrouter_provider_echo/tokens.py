"""A token is four characters: near enough to real ones, and the same in prompts, answers and limits."""

from __future__ import annotations

import math
from collections.abc import Sequence

SIZE = 4
"""Characters of a token; real vocabularies come to about as many in English."""


def split(text: str) -> Sequence[str]:
    """The tokens of a text; together they are the text again."""
    return [text[start : start + SIZE] for start in range(0, len(text), SIZE)]


def count(text: str) -> int:
    return math.ceil(len(text) / SIZE)
