"""Answers in the form of OpenAI embeddings: unit vectors made from a hash of the text."""

from __future__ import annotations

import base64
import hashlib
import math
import sys
from array import array
from collections.abc import Sequence
from random import Random

from . import tokens
from .completions import prompts
from .refusals import Refused
from .requests import EmbeddingsBody
from .wire import Answer, Limits, Stamp

DEFAULT_DIMENSIONS = 256
MOST_DIMENSIONS = 4_096
MOST_INPUTS = 2_048
MOST_NUMBERS = 1_048_576
"""They are made in process, so other requests wait for them: about a tenth of a second."""


def answer(body: EmbeddingsBody, stamp: Stamp, limits: Limits) -> Answer:
    """One vector for each input. Raises Refused."""
    texts = prompts(body.input)
    if len(texts) > MOST_INPUTS or not all(texts):
        problem = f"'input' must be one to {MOST_INPUTS} texts, none of them empty."
        raise Refused(400, problem, param="input")
    size = _dimensions(body.dimensions)
    limits.room(max(map(tokens.count, texts)))
    if len(texts) * size > MOST_NUMBERS:
        raise Refused(400, f"At most {MOST_NUMBERS} numbers are made for one request.", param="input")
    data = [
        {"object": "embedding", "index": number, "embedding": _encoded(vector(text, size), body.encoding_format)}
        for number, text in enumerate(texts)
    ]
    read = sum(tokens.count(text) for text in texts)
    spent = {"prompt_tokens": read, "total_tokens": read}
    return Answer(whole={"object": "list", "data": data, "model": stamp.model, "usage": spent})


def vector(text: str, size: int) -> array[float]:
    """A unit vector of 32-bit floats. A shorter one points where the longer one's beginning does."""
    dice = Random(hashlib.sha256(text.encode()).digest())
    raw = [dice.random() - 0.5 for _ in range(size)]
    length = math.hypot(*raw) or 1.0
    return array("f", (value / length for value in raw))


def _dimensions(asked: float | None) -> int:
    if asked is None:
        return DEFAULT_DIMENSIONS
    if asked != int(asked) or not 1 <= asked <= MOST_DIMENSIONS:
        problem = f"'dimensions' must be a whole number from 1 to {MOST_DIMENSIONS}."
        raise Refused(400, problem, param="dimensions")
    return int(asked)


def _encoded(values: array[float], form: str | None) -> str | Sequence[float]:
    """Floats, or their little-endian bytes in base64."""
    if form != "base64":
        return values.tolist()
    if sys.byteorder == "big":  # pragma: no cover
        values.byteswap()
    return base64.b64encode(values.tobytes()).decode()
