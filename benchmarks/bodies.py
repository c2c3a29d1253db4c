"""What is asked: bodies of chat completions. The run of zeros becomes the number of the request."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

BodyKind = Literal["chat", "same", "stream", "large"]

NUMBER = "0" * 16
SENTENCE = "A gateway stands between an application and many models, and should not be felt. "
SIZES = {"chat": 1_000, "same": 1_000, "stream": 1_000, "large": 109_000}
"""Bytes of a body, about."""

MARKS = {"chat": "quick brown fox", "same": "quick brown fox", "stream": "[DONE]", "large": "quick brown fox"}
"""What only a whole answer of the mock holds."""


def body(kind: BodyKind, model: str) -> bytes:
    """A request of that kind. Only "same" is the same request each time: what a cache may answer."""
    number = "" if kind == "same" else f"Request {NUMBER}. "
    text = number + SENTENCE * ((SIZES[kind] - 250) // len(SENTENCE))
    request = {
        "model": model,
        "messages": [
            {"role": "system", "content": "You answer briefly."},
            {"role": "user", "content": text},
        ],
        "max_tokens": 200,
        "temperature": 0 if kind == "same" else 0.7,
        **({"stream": True} if kind == "stream" else {}),
    }
    return json.dumps(request, separators=(",", ":")).encode()


def body_file(kind: BodyKind, model: str, folder: Path) -> Path:
    path = folder / f"{kind}-{model.replace('/', '_')}.json"
    path.write_bytes(body(kind, model))
    return path
