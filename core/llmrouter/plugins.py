"""Finding and loading plugins: a thin, typed manager. Nobody else touches pluggy.

One manager belongs to one router. A plugin is an entry point of the group `llmrouter`; its name says its
kind ("provider-openai"), and it is imported when the configuration names it. Plugins with a plain name
("tokens-tiktoken") are imported at start-up wherever they are installed.
"""

from __future__ import annotations

import difflib
import logging
import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import pluggy
from attrs import define, field, frozen

from . import __version__, hookspecs
from .errors import PluginError
from .protocols import (
    AppType,
    CacheType,
    MetricsSinkType,
    PluginType,
    PolicyType,
    ProviderType,
    QuotaStoreType,
    RepairType,
    TokenCounterType,
)
from .settings import ProviderSettings

GROUP = "llmrouter"
HOOKS = {
    "provider": "llmrouter_register_providers",
    "policy": "llmrouter_register_policies",
    "quota": "llmrouter_register_quota_stores",
    "cache": "llmrouter_register_caches",
    "metrics": "llmrouter_register_metrics_sinks",
    "tokens": "llmrouter_register_token_counters",
    "repair": "llmrouter_register_repairs",
    "app": "llmrouter_register_apps",
}
COMMANDS = "llmrouter_register_commands"
TYPES: Mapping[str, type[PluginType]] = {
    "provider": ProviderType,
    "policy": PolicyType,
    "quota": QuotaStoreType,
    "cache": CacheType,
    "metrics": MetricsSinkType,
    "tokens": TokenCounterType,
    "repair": RepairType,
    "app": AppType,
}
ON_DEMAND = ("provider", "policy", "quota", "cache", "metrics")
"""Kinds whose plugins load when the configuration names them."""

log = logging.getLogger("llmrouter.plugins")


@frozen
class Installed:
    """A plugin that is there to be loaded."""

    name: str  # of its entry point
    distribution: str
    version: str
    entry: EntryPoint
    requires: str = ""  # what it says of the core it needs

    @property
    def on_demand(self) -> bool:
        return self.name.split("-", 1)[0] in ON_DEMAND and "-" in self.name


@define(eq=False)
class Plugins:
    """The plugins of one router. `allow` None admits all; `disable` wins over `allow`."""

    allow: Sequence[str] | None = None
    disable: Sequence[str] = ()
    trace: bool = False
    _installed: dict[str, Installed] = field(factory=dict)
    _clashes: dict[str, list[Installed]] = field(factory=dict)
    _types: dict[tuple[str, str], tuple[PluginType, str]] = field(factory=dict)
    _loaded: set[str] = field(factory=set)
    _manager: pluggy.PluginManager = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._manager = pluggy.PluginManager(hookspecs.PROJECT)
        self._manager.add_hookspecs(hookspecs)

    @classmethod
    def discover(
        cls,
        allow: Sequence[str] | None = None,
        disable: Sequence[str] = (),
        environ: Mapping[str, str] | None = None,
        entries: Iterable[EntryPoint] | None = None,
    ) -> Plugins:
        """The installed plugins, unloaded. The environment narrows what the configuration admits."""
        environ = os.environ if environ is None else environ
        if only := _words(environ.get("LLMROUTER_PLUGINS", "")):
            allow = [name for name in only if allow is None or name in allow]
        disable = [*disable, *_words(environ.get("LLMROUTER_DISABLE_PLUGINS", ""))]
        plugins = cls(allow, disable, bool(environ.get("LLMROUTER_TRACE_PLUGINS")))
        for entry in entry_points(group=GROUP) if entries is None else entries:
            plugins._add(_installed(entry))
        return plugins

    def _add(self, one: Installed) -> None:
        first = self._installed.setdefault(one.name, one)
        if first is not one and (first.distribution, first.entry.value) != (
            one.distribution,
            one.entry.value,
        ):
            self._clashes.setdefault(one.name, [first]).append(one)

    # ---- asking ---------------------------------------------------------------------------------

    def get(self, kind: str, name: str) -> PluginType:
        """The plugin of that kind and name, loaded. Raises PluginError that says what to install."""
        if (kind, name) not in self._types and f"{kind}-{name}" in self._installed:
            self._load(self._installed[f"{kind}-{name}"])
        if (kind, name) not in self._types:
            raise PluginError(self._unknown(kind, name))
        return self._types[kind, name][0]

    def has(self, kind: str, name: str) -> bool:
        """Whether there is something to `get`, allowed or not, sound or not."""
        return (kind, name) in self._types or f"{kind}-{name}" in self._installed

    def all(self, kind: str) -> Iterator[PluginType]:
        """Every plugin of a kind that is loaded or may be: for the start without a configuration."""
        for name in self.names(kind):
            yield self.get(kind, name)

    def always(self, kind: str) -> list[PluginType]:
        """Plugins of a kind that need not be named: those with a plain name."""
        for one in self._installed.values():
            if not one.on_demand and self.admits(one.name):
                self._load(one)
        return [type_ for (its_kind, _), (type_, _) in self._types.items() if its_kind == kind]

    def names(self, kind: str) -> list[str]:
        """What can be named in the configuration, built-ins included."""
        found = {name for its_kind, name in self._types if its_kind == kind}
        for entry_name in self._installed:
            prefix, _, name = entry_name.partition("-")
            if prefix == kind and name and self.admits(entry_name):
                found.add(name)
        return sorted(found)

    def admits(self, name: str) -> bool:
        return name not in self.disable and (self.allow is None or name in self.allow)

    def installed(self) -> Sequence[Installed]:
        return sorted(self._installed.values(), key=lambda one: one.name)

    def commands(self, group: Any) -> None:
        """Let every installed plugin add its CLI commands; a broken one takes none of the others' away."""
        for one, problem in self.doctor():
            if problem and self.admits(one.name):
                log.warning("%s", problem)
        everybody = self._manager.get_plugins()
        for name, plugin in self._manager.list_name_plugin():
            add = self._manager.subset_hook_caller(COMMANDS, everybody - {plugin})
            try:
                add(commands=group)
            except Exception as error:
                log.warning("plugin %s failed in %s: %r", name, COMMANDS, error)

    # ---- loading --------------------------------------------------------------------------------

    def register(self, plugin: object, name: str) -> None:
        """Take in a plugin that is already imported: the core's own, or a test's. All of it, or nothing."""
        try:
            self._manager.register(plugin, name)
            self._manager.check_pending()
            self._types.update(self._claims(plugin, name))
        except ValueError as error:
            raise PluginError(f"plugin {name} is there twice: {error}") from error
        except pluggy.PluginValidationError as error:
            self._leave_out(plugin)
            raise PluginError(f"plugin {name} does not fit this llmrouter {__version__}: {error}") from error
        except PluginError:
            self._leave_out(plugin)
            raise

    def _leave_out(self, plugin: object) -> None:
        if self._manager.is_registered(plugin):
            self._manager.unregister(plugin)

    def _claims(self, plugin: object, name: str) -> dict[tuple[str, str], tuple[PluginType, str]]:
        others = {one for one in self._manager.get_plugins() if one is not plugin}
        claims: dict[tuple[str, str], tuple[PluginType, str]] = {}
        for kind, hook in HOOKS.items():
            for type_ in self._answers(hook, others, name):
                _fit(kind, type_, name)
                if taken := {**self._types, **claims}.get((kind, type_.name)):
                    raise PluginError(
                        f"two plugins bring the {kind} {type_.name!r}: {taken[1]} and {name}. Uninstall one of "
                        f"them, or name it in `plugins.disable`"
                    )
                claims[kind, type_.name] = (type_, name)
        return claims

    def _answers(self, hook: str, others: set[Any], name: str) -> Sequence[Any]:
        try:
            return [one for answer in self._manager.subset_hook_caller(hook, others)() for one in answer]
        except Exception as error:
            raise PluginError(f"plugin {name} failed in {hook}: {error!r}") from error

    def _load(self, one: Installed) -> None:
        if one.name in self._loaded:
            return
        self._check(one)
        started = time.perf_counter()
        try:
            plugin = one.entry.load()
        except Exception as error:
            raise PluginError(
                f"plugin {one.name} ({one.distribution} {one.version}) cannot be imported: {error!r}"
            ) from error
        self.register(plugin, one.name)
        self._loaded.add(one.name)
        if self.trace:
            log.warning(  # plugins load before the configuration says how to log: a warning shows even then
                "loaded %s from %s in %.1f ms",
                one.name,
                one.distribution,
                (time.perf_counter() - started) * 1e3,
            )

    def _check(self, one: Installed) -> None:
        if not self.admits(one.name):
            raise PluginError(
                f"plugin {one.name} is installed but not allowed: see `plugins.allow`, `plugins.disable`, "
                f"LLMROUTER_PLUGINS and LLMROUTER_DISABLE_PLUGINS"
            )
        if clash := self._clashes.get(one.name):
            who = " and ".join(f"{other.distribution} ({other.entry.value})" for other in clash)
            raise PluginError(f"plugin {one.name} is there twice: {who}. Uninstall one of them")
        if one.requires and not _fits(one.requires):
            raise PluginError(
                f"plugin {one.name} ({one.distribution} {one.version}) needs {one.requires}, and this is llmrouter "
                f"{__version__}. Upgrade one of them: pip install -U llmrouter {one.distribution}"
            )

    def _unknown(self, kind: str, name: str) -> str:
        if f"{kind}-{name}" in self._loaded:
            return f"plugin {kind}-{name} is installed and brings no {kind} {name!r}: tell its author"
        known = self.names(kind)
        close = difflib.get_close_matches(name, known, 1)
        hint = f"Did you mean {close[0]!r}?" if close else f"Try: pip install llmrouter-{kind}-{name}"
        return f"no {kind} plugin {name!r} is installed (there are: {', '.join(known) or 'none'}). {hint}"

    # ---- looking --------------------------------------------------------------------------------

    def doctor(self) -> list[tuple[Installed, str]]:
        """Every installed plugin with what is wrong with it ("" if nothing): loads them all."""
        found = []
        for one in self.installed():
            try:
                if self.admits(one.name):
                    self._load(one)
                found.append((one, "" if self.admits(one.name) else "not allowed by the configuration"))
            except PluginError as error:
                found.append((one, str(error)))
        return found


def _words(text: str) -> list[str]:
    return [word for word in text.replace(",", " ").split() if word]


def _installed(entry: EntryPoint) -> Installed:
    if entry.dist is None:
        return Installed(entry.name, "(none)", "", entry)
    requires = next((line for line in entry.dist.requires or () if _is_core(line)), "")
    return Installed(entry.name, entry.dist.name, entry.dist.version, entry, requires)


def _fit(kind: str, type_: object, name: str) -> None:
    """Raise PluginError for what is not a descriptor of that kind."""
    if not isinstance(type_, TYPES[kind]):
        wanted, got = TYPES[kind].__name__, type(type_).__name__
        raise PluginError(f"plugin {name} registers a {got} as {kind}, not a {wanted}")
    if kind == "provider" and not issubclass(type_.config, ProviderSettings):
        raise PluginError(f"plugin {name}: the `config` of provider {type_.name!r} must extend ProviderSettings")


def _is_core(requirement: str) -> bool:
    found = re.match(r"[A-Za-z0-9._-]+", requirement)
    return found is not None and found[0] == "llmrouter" and "extra ==" not in requirement


def _fits(requirement: str) -> bool:
    from packaging.requirements import Requirement

    return Requirement(requirement).specifier.contains(__version__, prereleases=True)
