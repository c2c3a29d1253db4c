"""Whether what groups, aliases and routing lead to is served: the providers' own endpoints are asked.

A name is resolved as `llmrouter.catalogue.names` does it later, so that what passes here can be served.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from attrs import frozen

from llmrouter.catalogue.names import ORDERS, PHASES
from llmrouter.protocols import ProviderType
from llmrouter.settings import Settings
from llmrouter.types import ANY_MODEL

from .document import Where
from .entries import Types
from .names import AUTO
from .references import items, mapping, members
from .report import Report, did_you_mean
from .structure import complaints
from .variables import Resolved


def check_targets(settings: Settings, resolved: Resolved, types: Types, report: Report) -> None:
    """Report every name that no endpoint serves. Nothing is said of providers whose plugin is missing."""
    served = _Served.of(settings, resolved, types, report)
    document = mapping(resolved.value)
    found = [
        *((where, target, served.model(target)) for where, target in _models(document)),
        *((where, target, served.name(target)) for where, target in _names(document)),
    ]
    for where, target, trouble in found:
        if trouble and where not in resolved.missing:
            report.error(where, f"{report.said(where, target)} {trouble}")
    default = settings.routing.default or ""
    if _is_auto(_unaliased(default, settings.aliases)):
        report.error(("routing", "default"), f"{report.said(('routing', 'default'), default)} leads back to “auto”")


def _models(document: Mapping[str, object]) -> Iterator[tuple[Where, str]]:
    """Where only a “provider/model” may stand."""
    for name, group in mapping(document.get("groups")).items():
        yield from members(group, ("groups", name))
    for name, task in mapping(mapping(document.get("routing")).get("tasks")).items():
        for index, model in enumerate(items(task.get("models"))):
            yield ("routing", "tasks", name, "models", index), model


def _names(document: Mapping[str, object]) -> Iterator[tuple[Where, str]]:
    """Where any name may stand."""
    for alias, target in mapping(document.get("aliases")).items():
        yield ("aliases", alias), target
    if default := mapping(document.get("routing")).get("default"):
        yield ("routing", "default"), default


@frozen
class _Served:
    """What there is to lead to. `unknown` are providers of which nobody here can say what they serve."""

    settings: Settings
    ids: frozenset[str]
    models: frozenset[str]
    unknown: frozenset[str]

    @classmethod
    def of(cls, settings: Settings, resolved: Resolved, types: Types, report: Report) -> _Served:
        ids: set[str] = set()
        models: set[str] = set()
        unknown: set[str] = set()
        for name, entry in settings.providers.items():
            type_ = types.get(("provider", entry.plugin))
            if not entry.enabled:
                continue
            if not isinstance(type_, ProviderType):
                unknown.add(name)
                continue
            try:
                endpoints = type_.endpoints(entry)
            except Exception as error:  # a plugin may raise what it likes: it is told with its place
                unknown.add(name)
                _refused(("providers", name), error, resolved, report)
                continue
            ids.update(one.id for one in endpoints)
            models.update(one.model for one in endpoints if one.model != ANY_MODEL)
        return cls(settings, frozenset(ids), frozenset(models), frozenset(unknown))

    def name(self, target: str) -> str:
        """What is wrong with a name of any kind, or nothing."""
        if target in self.settings.groups or target in self.models:
            return ""
        if _is_auto(target):
            known = self._automatic()
            return "" if target in known else f"asks for a task that is not there.{did_you_mean(target, known)}"
        if "/" not in target and target not in self.settings.aliases:
            return "" if self.unknown else f"is a model that no enabled provider serves.{self._close(target)}"
        return self.model(target)

    def model(self, target: str) -> str:
        """What is wrong with a “provider/model”, or nothing; an alias is told where it is written."""
        provider, _, model = target.partition("/")
        if target in self.settings.aliases or provider in self.unknown:
            return ""
        if target in self.ids or (model and f"{provider}/{ANY_MODEL}" in self.ids):
            return ""
        entry = self.settings.providers.get(provider)
        if entry is not None and not entry.enabled:
            return f"is of a provider that is not enabled ({provider})"
        return f"is a model that the provider does not serve.{self._close(target)}"

    def _automatic(self) -> list[str]:
        return [AUTO, *(f"{AUTO}/{one}" for one in (*self.settings.routing.tasks, *PHASES, *ORDERS))]

    def _close(self, target: str) -> str:
        return did_you_mean(target, [*sorted(self.ids), *sorted(self.models)])


def _refused(where: Where, error: Exception, resolved: Resolved, report: Report) -> None:
    if any(one[: len(where)] == where for one in resolved.missing):
        return  # it may be content where the variable is set
    for place, words in complaints(error, where):
        report.error(place, words)


def _is_auto(name: str) -> bool:
    return name.partition("/")[0] == AUTO


def _unaliased(name: str, aliases: Mapping[str, str]) -> str:
    while name in aliases:  # circles were refused before
        name = aliases[name]
    return name
