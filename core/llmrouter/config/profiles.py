"""`engine.profile`: named defaults of the other keys of `engine`, under what the configuration says itself."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from .references import mapping


@cache
def profiles() -> Mapping[str, Mapping[str, Any]]:
    """What each profile sets."""
    import yaml

    known: Mapping[str, Mapping[str, Any]] = yaml.safe_load(
        files(__package__).joinpath("profiles.yaml").read_text()
    )
    return known


def profiled(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """A checked document in which `engine`, and that of each group, says all that its profile means."""
    engine = mapping(document.get("engine"))
    groups = {name: _group(group, engine) for name, group in mapping(document.get("groups")).items()}
    return {**document, "engine": _with_profile(engine), **({"groups": groups} if groups else {})}


def _group(group: Any, engine: Mapping[str, Any]) -> Any:
    if not isinstance(group, Mapping) or group.get("engine") is None:
        return group
    return {**group, "engine": _with_profile(merged(engine, group["engine"]))}


def _with_profile(engine: Mapping[str, Any]) -> Mapping[str, Any]:
    return merged(profiles()[engine.get("profile", "default")], engine)


def merged(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of both; where both have one, mappings are merged and anything else is `over`'s."""
    found = dict(under)
    for key, value in over.items():
        nested = isinstance(value, Mapping) and isinstance(found.get(key), Mapping)
        found[key] = merged(found[key], value) if nested else value
    return found
