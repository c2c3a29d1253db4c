"""Paths of Google's APIs, which name the model and what is to be done with it.

`/v1beta/models/some-model:generateContent`; a model's id may contain slashes. The longer paths of Vertex, with
project and location before the model, are taken too: what stands there is the router's to choose.
"""

from __future__ import annotations

import re

import msgspec

from .common import parse, raw

_PATH = re.compile(
    r"/v1(?:beta1?|alpha)?/(?:projects/[^/]+/locations/[^/]+/)?(?:publishers/[^/]+/)?models/(?P<model>.+):(?P<verb>\w+)"
)


def read_path(path: str) -> tuple[str, str] | None:
    """Model and verb, or None for a path of another kind."""
    found = _PATH.fullmatch(path)
    return (found["model"], found["verb"]) if found else None


def named(request: msgspec.Raw, model: str) -> msgspec.Raw:
    """A request inside a body, with the model that the path names; byte for byte as it was where it says so."""
    name = raw(model if "/" in model else f"models/{model}")
    fields = parse(bytes(request))
    if fields.get("model") == name:
        return request
    return raw(fields | {"model": name})
