"""docs/reference/systems.md: what users ask about, and what it means here; from `systems.yaml` and the plugins."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from .markdown import GENERATED, cell, table

FILE = Path(__file__).with_name("systems.yaml")
HEAD = f"""# Systems

{GENERATED}

Names that users come with, and what each means here.
"""


def read() -> Sequence[Mapping[str, Any]]:
    """The kinds of systems, each with its systems."""
    kinds: Sequence[Mapping[str, Any]] = yaml.safe_load(FILE.read_text("utf-8"))
    return kinds


def systems() -> Iterator[Mapping[str, Any]]:
    for kind in read():
        yield from kind["systems"]


def page() -> str:
    return "\n".join([HEAD, *map(_section, read())])


def _section(kind: Mapping[str, Any]) -> str:
    title = kind["kind"][0].upper() + kind["kind"][1:]
    rows = [(_name(one), _here(one), cell(one.get("says", ""))) for one in kind["systems"]]
    return f"## {title}\n\n{kind['about']}\n{table(('system', 'here', 'to know'), rows)}"


def _name(one: Mapping[str, Any]) -> str:
    name = cell(one["name"])
    return f"[{name}](../how-to/clients/{one['see']}.md)" if "see" in one else name


def _here(one: Mapping[str, Any]) -> str:
    """The entry that serves it, or the wire formats it is served in."""
    if "plugin" in one:
        profile = f", profile: {one['profile']}" if "profile" in one else ""
        return f"`plugin: {one['plugin']}{profile}`"
    return "<br>".join(f"`{name}`" for name in one.get("speaks", ())) or "–"
