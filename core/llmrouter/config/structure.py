"""From a checked document to frozen settings, with each plugin's own class for its own keys."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args

import attrs
from attrs import define, field
from cattrs import AttributeValidationNote, Converter, IterableValidationNote
from cattrs.gen import make_dict_structure_fn, override

from llmrouter.errors import LLMRouterError
from llmrouter.protocols import ProviderType
from llmrouter.settings import (
    CacheSettings,
    EngineSettings,
    GroupSettings,
    HedgeAt,
    LimitSettings,
    Member,
    PluginSettings,
    ProviderSettings,
    QuotaSettings,
    RuleSettings,
    Secret,
    Settings,
)
from llmrouter.types import Unit

from .document import Where
from .entries import DEFAULTS, Types
from .profiles import profiled

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PIECE = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)")
_UNITS = get_args(Unit)

E = TypeVar("E", PluginSettings, QuotaSettings, CacheSettings)


def seconds(text: str) -> float:
    """`1h30m` as seconds. Raises ValueError for anything that is no duration."""
    if not re.fullmatch(f"({_PIECE.pattern})+", text):
        raise ValueError("must be a duration with its unit, such as 30s or 15m")
    return sum(float(number) * _SECONDS[unit] for number, unit in _PIECE.findall(text))


@define
class Structure:
    """Makes settings of plain values that the schema has passed. `types` are the plugins they name."""

    types: Types
    _converter: Converter = field(init=False)

    def __attrs_post_init__(self) -> None:
        one = self._converter = Converter(forbid_extra_keys=True)
        plain = make_dict_structure_fn(ProviderSettings, one, _cattrs_forbid_extra_keys=True)
        one.register_structure_hook(float, lambda value, _: _number(value))
        one.register_structure_hook(Secret, lambda value, _: Secret(value))
        one.register_structure_hook(Path, lambda value, _: Path(value).expanduser())
        one.register_structure_hook(LimitSettings, lambda value, _: _limit(value))
        one.register_structure_hook(Member, lambda value, _: _member(value))
        one.register_structure_hook_func(lambda cls: cls == HedgeAt, lambda value, _: _hedge_at(value))
        rule = make_dict_structure_fn(
            RuleSettings, one, kind=override(rename="class"), _cattrs_forbid_extra_keys=True
        )
        one.register_structure_hook(RuleSettings, rule)
        one.register_structure_hook(GroupSettings, lambda value, _: self._group(value))
        one.register_structure_hook(PluginSettings, lambda value, _: self._plugin(value))
        one.register_structure_hook(QuotaSettings, lambda value, _: self._entry("quota", value, QuotaSettings))
        one.register_structure_hook(CacheSettings, lambda value, _: self._entry("cache", value, CacheSettings))
        one.register_structure_hook_func(
            lambda cls: cls is ProviderSettings, lambda value, _: self._provider(value, plain)
        )

    def settings(self, document: Mapping[str, Any], revision: str, source: str) -> Settings:
        """The whole configuration. Raises whatever a plugin's class raises: see `complaints`."""
        document = profiled(document)
        providers = {name: _provider(name, entry) for name, entry in document.get("providers", {}).items()}
        value = {**document, "providers": providers, "revision": revision, "source": source}
        value["quota"] = value.get("quota", {})
        if policy := value.get("routing", {}).get("policy"):
            value["routing"] = {**value["routing"], "policy": {"kind": "policy", "entry": policy}}
        value["metrics"] = [{"kind": "metrics", "entry": one} for one in value.get("metrics", ())]
        return self._converter.structure(value, Settings)

    def plugin(self, kind: str, entry: Mapping[str, Any]) -> PluginSettings:
        """One entry of a plugin inside a plugin."""
        return self._plugin({"kind": kind, "entry": entry})

    def _provider(self, value: Mapping[str, Any], plain: Any) -> ProviderSettings:
        type_ = self.types.get(("provider", value["plugin"]))
        if isinstance(type_, ProviderType) and isinstance(preset := value.get("limits"), str):
            value = {**value, "limits": type_.limits[preset]}
        if type_ is None:
            known = {one.name for one in attrs.fields(ProviderSettings)}
            value = {key: one for key, one in value.items() if key in known}
        if type_ is None or type_.config is ProviderSettings:
            made: ProviderSettings = plain(value, ProviderSettings)
        else:
            made = self._converter.structure(value, type_.config)
        return made

    def _plugin(self, value: Mapping[str, Any]) -> PluginSettings:
        return self._entry(value["kind"], value["entry"], PluginSettings)

    def _entry(self, kind: str, entry: Mapping[str, Any], cls: type[E]) -> E:
        """The core's keys for the core's class, all others for the plugin's."""
        name = entry.get("plugin", DEFAULTS.get(kind))
        type_ = self.types.get((kind, str(name)))
        core = {one.name: one.type for one in attrs.fields(attrs.resolve_types(cls)) if one.name != "config"}
        its = type_.schema.get("properties", {}) if type_ else {}
        own = {key: value for key, value in entry.items() if key not in core or (key in its and key != "plugin")}
        common = {key: self._value(value, core[key]) for key, value in entry.items() if key in core}
        config = self._converter.structure(own, type_.config) if type_ else own or None
        return cls(**{**common, "plugin": name, "config": config})

    def _value(self, value: Any, type_: Any) -> Any:
        return self._converter.structure(value, type_)

    def _group(self, value: Any) -> GroupSettings:
        group = value if isinstance(value, Mapping) else {"members": value}
        members = group["members"]
        tiers = members if isinstance(members[0], list) else [members]
        policy, engine = group.get("policy"), group.get("engine")
        return GroupSettings(
            tiers=self._value(tiers, tuple[tuple[Member, ...], ...]),
            policy=None if policy is None else self.plugin("policy", policy),
            engine=None if engine is None else self._value(engine, EngineSettings),
        )


def _provider(name: str, entry: Mapping[str, Any]) -> dict[str, Any]:
    """An entry with its accounts written out: without any, one that is named as the provider."""
    value = {key: one for key, one in entry.items() if key != "api_key"}
    value["models"] = {key: one or {} for key, one in entry.get("models", {}).items()}
    if not value.get("accounts"):
        key = {"api_key": entry["api_key"]} if "api_key" in entry else {}
        value["accounts"] = [{"id": name, **key}]
    return value | {"name": name}


def _number(value: Any) -> float:
    return seconds(value) if isinstance(value, str) else float(value)


def _hedge_at(value: str) -> HedgeAt:
    return value if value in ("off", "soft_ttft") else seconds(value)  # type: ignore[return-value]


def _limit(value: Mapping[str, Any]) -> LimitSettings:
    unit = next(unit for unit in _UNITS if unit in value)
    window = value.get("per", "")
    if reset := value.get("reset"):
        window = f"{window} {reset.removeprefix('00:00 ')}"
    return LimitSettings(unit=unit, amount=float(value[unit]), window=window, scope=value.get("scope"))


def _member(value: Any) -> Member:
    return Member(value) if isinstance(value, str) else Member(value["to"], float(value.get("weight", 1.0)))


def complaints(error: BaseException, where: Where = ()) -> Iterator[tuple[Where, str]]:
    """The paths and words of what went wrong inside, without the values that cattrs puts there.

    A plugin's class may refuse a value with a ValueError or an error of ours: its words are its author's.
    """
    for note in getattr(error, "__notes__", ()):
        if isinstance(note, AttributeValidationNote):
            where = (*where, note.name)
        elif isinstance(note, IterableValidationNote):
            where = (*where, note.index)
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            yield from complaints(one, where)
    else:
        words = (
            str(error)
            if isinstance(error, (ValueError, LLMRouterError))
            else "does not fit what its plugin expects"
        )
        yield where, words
