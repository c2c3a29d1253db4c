"""Which plugins a configuration names, and where."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from llmrouter.errors import PluginError
from llmrouter.plugins import Plugins
from llmrouter.protocols import PluginType

from .document import Where
from .redact import HIDDEN
from .references import items, mapping
from .report import Report, did_you_mean
from .variables import Resolved

Types = Mapping[tuple[str, str], PluginType]
"""Descriptors by kind and name."""

DEFAULTS = {"quota": "memory", "cache": "memory"}
"""The plugin of an entry that names none."""

_CLOSE = 0.75
"""How alike two names are when one is taken for a slip of the other; "disk" and "redis" are 0.67."""


def entries(value: Any) -> Iterator[tuple[str, Where, Mapping[str, Any]]]:
    """Every entry that belongs to a plugin: its kind, its path, and what it says."""
    document = mapping(value)
    for name, entry in mapping(document.get("providers")).items():
        yield "provider", ("providers", name), mapping(entry)
    for name, group in mapping(document.get("groups")).items():
        if isinstance(group, Mapping) and "policy" in group:
            yield "policy", ("groups", name, "policy"), mapping(group["policy"])
    routing = mapping(document.get("routing"))
    if "policy" in routing:
        yield "policy", ("routing", "policy"), mapping(routing["policy"])
    for kind in ("quota", "cache"):
        if document.get(kind) is not None:
            yield kind, (kind,), mapping(document[kind])
    for index, entry in enumerate(items(document.get("metrics"))):
        yield "metrics", ("metrics", index), mapping(entry)


def named(
    resolved: Resolved, plugins: Plugins, report: Report, required: bool
) -> dict[tuple[str, str], PluginType]:
    """The plugins that the configuration names, loaded. What is not installed is reported."""
    types: dict[tuple[str, str], PluginType] = {}
    for kind, where, entry in entries(resolved.value):
        name = entry.get("plugin", DEFAULTS.get(kind))
        if not isinstance(name, str) or (*where, "plugin") in resolved.missing:
            continue
        try:
            if plugins.has(kind, name):
                types[kind, name] = plugins.get(kind, name)
            elif "plugin" in entry:
                _absent(kind, name, (*where, "plugin"), plugins, report, required)
        except PluginError as error:
            report.error((*where, "plugin"), str(error))
    for kind, name in DEFAULTS.items():
        if plugins.has(kind, name):
            types.setdefault((kind, name), plugins.get(kind, name))
    return types


def _absent(kind: str, name: str, where: Where, plugins: Plugins, report: Report, required: bool) -> None:
    known = plugins.names(kind)
    missing = f"no {kind} plugin {report.said(where, name)} is installed"
    install = f"Try: pip install llmrouter-{kind}-{HIDDEN if where in report.sources else name}"
    if close := did_you_mean(name, known, _CLOSE):
        report.error(where, f"{missing}.{close}")
    elif required:
        report.error(where, f"{missing} (there are: {', '.join(known) or 'none'}). {install}")
    else:
        report.warn(where, f"{missing}, so its own keys are not checked. {install}")
