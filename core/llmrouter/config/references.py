"""What is wrong although the schema allows it: names that lead nowhere, and what contradicts itself.

It reads the document and not the settings, so that all mistakes are found at once; parts that the schema
has already refused are passed over.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from attrs import frozen

from llmrouter.plugins import Plugins

from .document import Where
from .names import AUTO, check_names
from .report import Report, did_you_mean

_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_SLIP = 0.88
"""How alike two names of plugins are when one is a slip of the other: most of each is its kind."""


def check_references(value: Any, plugins: Plugins, report: Report) -> None:
    """Report every name that does not exist and everything that cannot be meant."""
    document = mapping(value)
    names = _Names.of(document)
    _providers(document, report)
    _groups(document, names, report)
    _aliases(document, names, report)
    _routing(document, names, report)
    _rules(document, names, report)
    _server(document, report)
    _zones(document, report)
    _plugin_names(document, plugins, report)


def mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


@frozen
class _Names:
    """What a name in the configuration may lead to."""

    providers: tuple[str, ...]
    groups: tuple[str, ...]
    aliases: Mapping[str, Any]
    models: tuple[str, ...]

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> _Names:
        providers = mapping(document.get("providers"))
        models = {name for one in providers.values() for name in mapping(mapping(one).get("models"))}
        groups, aliases = mapping(document.get("groups")), mapping(document.get("aliases"))
        return cls(tuple(providers), tuple(groups), aliases, tuple(sorted(models)))

    def lead(self, where: Where, target: Any, report: Report) -> None:
        """Report what is no group, alias, model or “provider/model”."""
        if not isinstance(target, str) or target in (*self.groups, *self.aliases, *self.models):
            return
        if "/" in target:
            self.member(where, target, report)
            return
        known = did_you_mean(target, (*self.groups, *self.aliases, *self.models, *self.providers))
        report.error(where, f"{report.said(where, target)} is no group, alias or “provider/model”.{known}")

    def model(self, where: Where, target: Any, report: Report) -> None:
        """Report what is no “provider/model”, nor an alias of one."""
        seen = [target]
        while isinstance(seen[-1], str) and self.aliases.get(seen[-1], target) not in seen:
            seen.append(self.aliases[seen[-1]])
        if "/" in str(seen[-1]):
            self.member(where, seen[-1], report)
        elif isinstance(target, str):
            report.error(where, f"{report.said(where, target)} is no “provider/model”")

    def member(self, where: Where, target: Any, report: Report) -> None:
        """Report what does not begin with a configured provider."""
        provider = str(target).partition("/")[0]
        if not isinstance(target, str) or provider in self.providers:
            return
        known = did_you_mean(provider, self.providers) or f" Configured: {', '.join(self.providers) or 'none'}."
        report.error(where, f"the provider {report.said(where, provider)} is not configured.{known}")


def _providers(document: Mapping[str, Any], report: Report) -> None:
    for name, entry in mapping(document.get("providers")).items():
        where: Where = ("providers", name)
        entry = mapping(entry)
        if name == AUTO:
            report.error(where, "cannot be a provider's name: “auto/…” asks for a task", key=True)
        accounts = [mapping(one) for one in items(entry.get("accounts"))]
        if "api_key" in entry and accounts:
            report.error((*where, "api_key"), "is short for one account: write it in `accounts`", key=True)
        _once(
            ((*where, "accounts", i, "id") for i in range(len(accounts))), (a.get("id") for a in accounts), report
        )
        _groups_of_quota(accounts, where, report)
        _terms(entry, accounts, where, report)


def _groups_of_quota(accounts: list[Mapping[str, Any]], where: Where, report: Report) -> None:
    first: dict[str, int] = {}
    for index, account in enumerate(accounts):
        group = account.get("quota_group")
        if not isinstance(group, str) or not group:
            continue
        other = accounts[first.setdefault(group, index)]
        if other.get("limits") != account.get("limits"):
            who = report.said((*where, "accounts", first[group], "id"), other.get("id"))
            report.error(
                (*where, "accounts", index, "quota_group"),
                f"shares its limits with {who}, and the two have different `limits`",
            )


def _terms(entry: Mapping[str, Any], accounts: list[Mapping[str, Any]], where: Where, report: Report) -> None:
    enabled = [one for one in accounts if one.get("enabled", True)]
    said = mapping(entry.get("terms")).get("multi_account", "unclear")
    if len(enabled) > 1 and entry.get("enabled", True) and said in ("unclear", "forbidden"):
        report.warn(
            (*where, "accounts"),
            f"{len(enabled)} accounts, and whether the provider's terms allow that is {said}: "
            "read them, and say so in `terms: {multi_account: allowed}`",
            key=True,
        )


def members(group: Any, where: Where) -> Iterator[tuple[Where, Any]]:
    """What every member of a group in any of its forms leads to, with its path."""
    if isinstance(group, Mapping):
        group, where = group.get("members"), (*where, "members")
    for index, one in enumerate(items(group)):
        if isinstance(one, list):
            yield from (_member((*where, index, inner), member) for inner, member in enumerate(one))
        else:
            yield _member((*where, index), one)


def _member(where: Where, member: Any) -> tuple[Where, Any]:
    return ((*where, "to"), member.get("to")) if isinstance(member, Mapping) else (where, member)


def _groups(document: Mapping[str, Any], names: _Names, report: Report) -> None:
    check_names("groups", mapping(document.get("groups")), names.providers, report)
    for name, group in mapping(document.get("groups")).items():
        where: Where = ("groups", name)
        listed = items(group.get("members") if isinstance(group, Mapping) else group)
        if len({isinstance(one, list) for one in listed}) > 1:
            report.error(where, "mixes members and tiers: put every member into a tier, such as [[a/x], [b/y]]")
        if name in names.aliases:
            report.error(("aliases", name), "is the name of a group too", key=True)
        found = list(members(group, where))
        _once((place for place, _ in found), (target for _, target in found), report)
        for place, target in found:
            if "/" in str(target):
                names.model(place, target, report)


def _aliases(document: Mapping[str, Any], names: _Names, report: Report) -> None:
    aliases = mapping(document.get("aliases"))
    check_names("aliases", aliases, names.providers, report)
    for name, target in aliases.items():
        if not isinstance(target, str):
            continue
        seen = [name]
        while isinstance(target := aliases.get(seen[-1]), str) and target not in seen:
            seen.append(target)
        if target in seen:
            report.error(("aliases", name), f"goes round in a circle: {' → '.join([*seen, str(target)])}")
        elif aliases[name].partition("/")[0] != AUTO:
            names.lead(("aliases", name), aliases[name], report)


def _routing(document: Mapping[str, Any], names: _Names, report: Report) -> None:
    routing = mapping(document.get("routing"))
    names.lead(("routing", "default"), routing.get("default"), report)
    for name, task in mapping(routing.get("tasks")).items():
        where: Where = ("routing", "tasks", name)
        for key in ("prefer", "fallback"):
            for index, provider in enumerate(items(mapping(task).get(key))):
                names.member((*where, key, index), provider, report)
        for index, model in enumerate(items(mapping(task).get("models"))):
            names.model((*where, "models", index), model, report)


def _rules(document: Mapping[str, Any], names: _Names, report: Report) -> None:
    engines: list[tuple[Where, Any]] = [(("engine",), document.get("engine"))]
    for name, group in mapping(document.get("groups")).items():
        engines.append((("groups", name, "engine"), mapping(group).get("engine")))
    for where, engine in engines:
        for index, rule in enumerate(items(mapping(engine).get("rules"))):
            match, place = mapping(mapping(rule).get("match")), (*where, "rules", index, "match")
            provider, pattern = match.get("provider"), match.get("body")
            if isinstance(provider, str) and provider not in names.providers:
                names.member((*place, "provider"), f"{provider}/", report)
            if isinstance(pattern, str):
                _pattern((*place, "body"), pattern, report)


def _pattern(where: Where, pattern: str, report: Report) -> None:
    try:
        re.compile(pattern)
    except re.error as error:
        report.error(where, f"is no regular expression: {error}")


def _server(document: Mapping[str, Any], report: Report) -> None:
    server = mapping(document.get("server"))
    keys = [mapping(one) for one in items(server.get("keys"))]
    for key in ("name", "hash"):
        _once((("server", "keys", i, key) for i in range(len(keys))), (one.get(key) for one in keys), report)
    for index, one in enumerate(keys):
        for place, limit in enumerate(items(one.get("limits"))):
            if "scope" in mapping(limit):
                where = ("server", "keys", index, "limits", place, "scope")
                report.error(where, "is not for clients: it says what of a provider shares a limit", key=True)
    host = server.get("host", _LOOPBACK[0])
    if isinstance(host, str) and host not in _LOOPBACK and not keys:
        report.warn(("server", "host"), "is open to others, and there are no `server.keys`: everybody may spend")


def _once(places: Iterable[Where], values: Iterable[Any], report: Report) -> None:
    """Report each value that was there before. The value itself is not said: it may be a hash."""
    seen: set[str] = set()
    for place, value in zip(places, values, strict=True):
        if isinstance(value, str) and value in seen:
            report.error(place, "is there twice")
        elif isinstance(value, str):
            seen.add(value)


def _zones(document: Mapping[str, Any], report: Report) -> None:
    import zoneinfo

    for where, limit in _limits(document, ()):
        reset = mapping(limit).get("reset")
        place, zone = (*where, "reset"), str(reset).partition(" ")[2]
        if not zone:
            continue
        try:
            zoneinfo.ZoneInfo(zone)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
            suggestion = did_you_mean(zone, zoneinfo.available_timezones())
            report.error(place, f"{report.said(place, zone)} is no time zone.{suggestion}")


def _limits(value: Any, where: Where) -> Iterator[tuple[Where, Any]]:
    """Every limit, wherever one may stand."""
    for key, one in mapping(value).items():
        if key == "limits":
            yield from (((*where, key, index), limit) for index, limit in enumerate(items(one)))
        elif isinstance(one, Mapping):
            yield from _limits(one, (*where, key))
        else:
            for index, inner in enumerate(items(one)):
                yield from _limits(inner, (*where, key, index))


def _plugin_names(document: Mapping[str, Any], plugins: Plugins, report: Report) -> None:
    known = [one.name for one in plugins.installed()]
    for key in ("allow", "disable"):
        for index, name in enumerate(items(mapping(document.get("plugins")).get(key))):
            if not isinstance(name, str) or name in known:
                continue
            close = did_you_mean(name, known, _SLIP)
            tell = report.error if close else report.warn
            where = ("plugins", key, index)
            tell(where, f"no plugin {report.said(where, name)} is installed.{close}")
