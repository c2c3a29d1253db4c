"""The way of a configuration: read, put variables in, check by schema and by meaning, structure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import evolve, frozen

from llmrouter.errors import Problem
from llmrouter.plugins import Plugins
from llmrouter.settings import PluginSettings, Settings

from .check import check
from .document import Document, read
from .entries import Types, named
from .profiles import merged
from .references import check_references, items, mapping
from .report import Report
from .schema import compose, core_schema
from .show import revision
from .start import derive, find
from .structure import Structure, complaints
from .targets import check_targets
from .variables import Resolved, dotenv, resolve

Builtins = Sequence[tuple[object, str]]


@frozen
class Loaded:
    """A configuration that can be used, with what should be said about it."""

    settings: Settings
    plugins: Plugins
    warnings: tuple[Problem, ...]


@frozen
class Reading:
    """A configuration that was checked and not yet structured."""

    document: Document
    plugins: Plugins
    types: Types
    schema: Mapping[str, Any]
    resolved: Resolved
    report: Report


def load(
    path: Path | None,
    environ: Mapping[str, str],
    *,
    plugins: Plugins | None = None,
    builtins: Builtins = (),
    require_plugins: bool = False,
    require_variables: bool = True,
    over: Mapping[str, Any] | None = None,
) -> Loaded:
    """The configuration of a file, or of the environment when there is none. `over` wins over what it says.

    Raises ConfigError with every problem there is, PluginError when a plugin cannot be loaded. What is
    not required and is missing is a warning: enough to check a configuration away from where it runs.
    """
    reading = look(
        path,
        environ,
        plugins=plugins,
        builtins=builtins,
        require_plugins=require_plugins,
        require_variables=require_variables,
        over=over,
    )
    settings = _settings(reading)
    if settings is not None:
        check_targets(settings, reading.resolved, reading.types, reading.report)
    reading.report.check()
    assert settings is not None
    return Loaded(settings, reading.plugins, reading.report.problems())


def look(
    path: Path | None,
    environ: Mapping[str, str],
    *,
    plugins: Plugins | None = None,
    builtins: Builtins = (),
    require_plugins: bool = False,
    require_variables: bool = True,
    over: Mapping[str, Any] | None = None,
) -> Reading:
    """The configuration, checked. Raises as `load` does."""
    file = find(path, environ)
    variables, notes = dotenv(file.parent if file else Path())
    environ = {**variables, **environ}
    written = read(file) if file else None
    plugins = with_builtins(discover(written, environ) if plugins is None else plugins, builtins)
    document = written or derive(plugins, environ)
    if over:
        document = evolve(document, value=merged(mapping(document.value), over))
    report = Report(document)
    for note in notes:
        report.add(note)
    resolved = resolve(document, environ, report, require_variables)
    types = named(resolved, plugins, report, require_plugins)
    schema = compose(core_schema(), ((kind, type_) for (kind, _), type_ in types.items()))
    check(schema, resolved, report)
    check_references(resolved.value, plugins, report)
    report.check()
    return Reading(document, plugins, types, schema, resolved, report)


def discover(document: Document | None, environ: Mapping[str, str]) -> Plugins:
    """The installed plugins, as far as the configuration admits them."""
    said = mapping(mapping(document.value if document else {}).get("plugins"))
    allow = [name for name in items(said["allow"]) if isinstance(name, str)] if "allow" in said else None
    disable = [name for name in items(said.get("disable")) if isinstance(name, str)]
    return Plugins.discover(allow, disable, environ)


def with_builtins(plugins: Plugins, builtins: Builtins) -> Plugins:
    for module, name in builtins:
        plugins.register(module, name)
    return plugins


def structured(plugins: Plugins, kind: str, entry: Mapping[str, Any]) -> PluginSettings:
    """The settings of a plugin inside a plugin: `{plugin: cost, mode: balanced}`. Raises ConfigError."""
    report = Report(Document(entry, "", Path()))
    name = str(entry.get("plugin"))
    types = {(kind, name): plugins.get(kind, name)}
    schema = compose(core_schema(), [(kind, types[kind, name])])
    check({"$defs": schema["$defs"], "$ref": f"#/$defs/{kind}_entry"}, Resolved(entry), report)
    report.check()
    return Structure(types).plugin(kind, entry)


def _settings(reading: Reading) -> Settings | None:
    source = reading.document.file
    try:
        return Structure(reading.types).settings(reading.resolved.value, revision(reading), source)
    except Exception as error:  # a plugin's class may raise what it likes: it is told with its place
        for where, words in complaints(error):
            reading.report.error(where, words)
    return None
