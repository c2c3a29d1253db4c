"""Recorded traffic of providers that speak OpenAI's dialects, from the folder beside the checkout."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from attrs import field, frozen

FOLDER = Path(__file__).parents[3] / "shared" / "data" / "cassettes"
REQUIRED = "LLMROUTER_REQUIRE_RECORDINGS"

SUFFIXES = {
    "chat.completions": "/chat/completions",
    "completions": "/completions",
    "embeddings": "/embeddings",
    "models": "/models",
}
OTHER_SHAPES = {
    ("anthropic", "models"): "Anthropic's own list",
    ("cohere", "embeddings"): "Cohere's own embeddings",
    ("gemini", "models"): "Gemini's own list",
    ("huggingface", "models"): "a page of the hub, not the inference API",
    ("ollama", "embeddings"): "Ollama's own embeddings",
    ("writer", "completions"): "Writer's own stream",
}
"""Paths that end alike and are not of this family."""


@frozen(kw_only=True)
class Exchange:
    """One recorded request and its answer. Where none was recorded the request is a made-up one."""

    id: str
    provider: str
    endpoint: str
    path: str
    features: frozenset[str]
    request: bytes = field(repr=False)
    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    stream: bool

    @property
    def asked(self) -> dict[str, Any]:
        asked: dict[str, Any] = json.loads(self.request or b"{}")
        return asked

    @property
    def is_error(self) -> bool:
        """An error by status, or one inside a good status."""
        return self.status >= 400 or bool(self.features & {"error_in_200", "midstream_error"})


def require() -> None:
    """Skip, or fail where the recordings must be there, when there are none."""
    if (FOLDER / "manifest.json").is_file():
        return
    reason = "recorded traffic is not beside this checkout"
    if os.environ.get(REQUIRED) == "1":
        pytest.fail(reason)
    pytest.skip(reason)


def exchanges() -> tuple[list[Exchange], dict[str, int]]:
    """Every exchange of the family, and how many were left out, by reason."""
    found: list[Exchange] = []
    left: dict[str, int] = {}
    for file in json.loads((FOLDER / "manifest.json").read_text())["files"]:
        for number, (entry, recorded) in enumerate(_pairs(file)):
            if reason := _not_ours(entry, urlsplit(recorded["request"]["uri"]).path):
                left[reason] = left.get(reason, 0) + 1
            else:
                found.append(_exchange(f"{file['file']}#{number}", entry, recorded))
    return found, {reason: count for reason, count in left.items() if reason}


def _pairs(file: Mapping[str, Any]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    entries = file["interactions"]
    if any(entry["endpoint"] in SUFFIXES for entry in entries):
        recorded = json.loads((FOLDER / file["file"]).read_text())["interactions"]
        yield from zip(entries, recorded, strict=True)


def _not_ours(entry: Mapping[str, Any], path: str) -> str:
    """Why an interaction is not of this family; "" if it is."""
    key = entry["provider"], entry["endpoint"]
    if entry["endpoint"] not in SUFFIXES:
        return "another endpoint"
    if key in OTHER_SHAPES:
        return OTHER_SHAPES[key]
    if entry["endpoint"] == "models":
        return "" if entry["method"] == "GET" else "deletes a model"
    return "" if path.endswith(SUFFIXES[entry["endpoint"]]) and entry["method"] == "POST" else "another API"


def _exchange(id: str, entry: Mapping[str, Any], recorded: Mapping[str, Any]) -> Exchange:
    request, response = recorded["request"], recorded["response"]
    path = urlsplit(request["uri"]).path
    return Exchange(
        id=id,
        provider=entry["provider"],
        endpoint=entry["endpoint"],
        path=path,
        features=frozenset(entry["features"]),
        request=_request(request["body"], entry, path),
        status=response["status"]["code"],
        headers={name.lower(): _first(value) for name, value in response["headers"].items()},
        body=response["body"]["string"].encode(),
        stream=entry["stream"],
    )


def _request(body: str | None, entry: Mapping[str, Any], path: str) -> bytes:
    if entry["endpoint"] == "models":
        return b""
    if not body:
        asked = {"model": entry["model"] or "recorded", "messages": [{"role": "user", "content": "Hello"}]}
        return json.dumps({**asked, "stream": entry["stream"]}).encode()
    if "model" in json.loads(body):
        return body.encode()
    # a deployment named in the path: a client of a router says it in the body
    model = path.split("/deployments/")[-1].split("/")[0] if "/deployments/" in path else entry["model"]
    return body.replace("{", f'{{"model": {json.dumps(model or "recorded")}, ', 1).encode()


def _first(value: str | list[str]) -> str:
    return value if isinstance(value, str) else ", ".join(value)
