"""Recorded traffic of providers, by family of wires, from the folder beside the checkout."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from attrs import field, frozen

from .families import OPENAI, Family, Surface

FOLDER = Path(__file__).parents[3] / "shared" / "data" / "cassettes"
MADE_UP: Mapping[str, Mapping[str, Any]] = {
    "responses": {"input": "Hello"},
    "messages": {"max_tokens": 1024, "messages": [{"role": "user", "content": "Hello"}]},
    "generateContent": {"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]},
    "streamGenerateContent": {"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]},
    "rerank": {"query": "Hello", "documents": ["Hello", "Goodbye"]},
}
"""Requests in place of those that were not recorded; a chat's for all others."""
REQUIRED = "LLMROUTER_REQUIRE_RECORDINGS"


@frozen(kw_only=True)
class Exchange:
    """One recorded request and its answer. Where none was recorded the request is a made-up one."""

    id: str
    provider: str
    endpoint: str
    path: str
    features: frozenset[str]
    model: str  # as it was asked for, in the body or in the path
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


def exchanges(family: Family = OPENAI) -> tuple[list[Exchange], dict[str, int]]:
    """Every exchange of a family, and how many were left out, by reason."""
    found: list[Exchange] = []
    left: dict[str, int] = {}
    for file in json.loads((FOLDER / "manifest.json").read_text())["files"]:
        for number, (entry, recorded) in enumerate(_pairs(file, family)):
            if reason := _not_ours(family, entry, urlsplit(recorded["request"]["uri"]).path):
                left[reason] = left.get(reason, 0) + 1
            else:
                found.append(_exchange(f"{file['file']}#{number}", entry, recorded, family))
    return found, {reason: count for reason, count in left.items() if reason}


def _pairs(file: Mapping[str, Any], family: Family) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    entries = file["interactions"]
    if any(entry["endpoint"] in (*family.surfaces, family.listed) for entry in entries):
        recorded = json.loads((FOLDER / file["file"]).read_text())["interactions"]
        yield from zip(entries, recorded, strict=True)


def _not_ours(family: Family, entry: Mapping[str, Any], path: str) -> str:
    """Why an interaction is not of this family; "" if it is."""
    provider, endpoint = entry["provider"], entry["endpoint"]
    if endpoint not in (*family.surfaces, family.listed) or (family.only and provider not in family.only):
        return "another endpoint"
    if (provider, endpoint) in family.foreign:
        return family.foreign[provider, endpoint]
    if endpoint == family.listed:
        return "" if entry["method"] == "GET" else "deletes a model"
    return (
        ""
        if _model_in(path, family.surfaces[endpoint]) is not None and entry["method"] == "POST"
        else "another API"
    )


def _model_in(path: str, surface: Surface) -> str | None:
    """The model that a recorded path names, "" where it names none; None for a path of another API."""
    before, _, after = surface.suffix.partition("{model}")
    if not path.endswith(after or before):
        return None
    return path.removesuffix(after).rpartition(before)[2] if after else ""


def _exchange(id: str, entry: Mapping[str, Any], recorded: Mapping[str, Any], family: Family) -> Exchange:
    request, response = recorded["request"], recorded["response"]
    path = urlsplit(request["uri"]).path
    surface = family.surfaces.get(entry["endpoint"])
    body = _request(request["body"], entry, path, surface)
    named = _model_in(path, surface) if surface else ""
    return Exchange(
        id=id,
        provider=entry["provider"],
        endpoint=entry["endpoint"],
        path=path,
        features=frozenset(entry["features"]),
        model=named or json.loads(body or b"{}").get("model", ""),
        request=body,
        status=response["status"]["code"],
        headers={name.lower(): _first(value) for name, value in response["headers"].items()},
        body=response["body"]["string"].encode(),
        stream=entry["stream"],
    )


def _request(body: str | None, entry: Mapping[str, Any], path: str, surface: Surface | None) -> bytes:
    if surface is None:
        return b""
    if "{model}" in surface.suffix:
        return (body or json.dumps(MADE_UP.get(entry["endpoint"], {}))).encode()
    if not body:
        made_up = MADE_UP.get(entry["endpoint"], {"messages": [{"role": "user", "content": "Hello"}]})
        return json.dumps({"model": entry["model"] or "recorded", **made_up, "stream": entry["stream"]}).encode()
    if "model" in json.loads(body):
        return body.encode()
    # a deployment named in the path: a client of a router says it in the body
    model = path.split("/deployments/")[-1].split("/")[0] if "/deployments/" in path else entry["model"]
    return body.replace("{", f'{{"model": {json.dumps(model or "recorded")}, ', 1).encode()


def _first(value: str | list[str]) -> str:
    return value if isinstance(value, str) else ", ".join(value)
