"""What is asked and what is answered: both can be told from the request alone.

A prompt says its number, how long the answer is to be and may take, and whether it is fixed: `request 17: 30 words,
240 tokens, 0 seconds, fixed`. Answers are numbered words, so that one that is missing, there twice or another's can
be seen.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from attrs import frozen

_ASKED = re.compile(rb"request (\d+): (\d+) words, (\d+) tokens, ([\d.]+) seconds, (fixed|free)")
TOKENS = 8
"""Tokens that a word of an answer stands for: it need not be as long as it says."""
LEAST_WORDS = 16


@frozen
class Asked:
    """`seconds` 0: as long as its tokens take."""

    number: int
    words: int
    tokens: int
    seconds: float = 0.0
    fixed: bool = True

    @property
    def prompt(self) -> str:
        kind = "fixed" if self.fixed else "free"
        return f"request {self.number}: {self.words} words, {self.tokens} tokens, {self.seconds:g} seconds, {kind}"

    def says(self, variant: int) -> Sequence[str]:
        """The answer in pieces that may be sent one by one; `variant` is 0 for the one answer there is."""
        name = f"{self.number}.{variant}"
        return [f"{name}.{place} " for place in range(self.words)]

    def is_answer(self, text: str) -> bool:
        """Whether a text is one whole answer to this, word for word."""
        parts = text.split(".", 2)
        if len(parts) < 3 or not parts[1].isdecimal() or (self.fixed and parts[1] != "0"):
            return False
        return text == "".join(self.says(int(parts[1])))


def read_asked(body: bytes) -> Asked:
    """What a prompt asks for. Raises ValueError for a body in which no such prompt stands."""
    found = _ASKED.search(body)
    if found is None:
        raise ValueError("the prompt of a simulated request did not arrive")
    number, words, tokens, seconds, kind = found.groups()
    return Asked(int(number), int(words), int(tokens), float(seconds), kind == b"fixed")
