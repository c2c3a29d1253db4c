"""What of a configuration can be tested: its groups, and the members of them that serve chat."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from llmrouter import dialects
from llmrouter.errors import LLMRouterError
from llmrouter.plugins import Plugins
from llmrouter.protocols import ProviderType
from llmrouter.settings import GroupSettings, Member, ProviderSettings, Settings
from llmrouter.types import ANY_MODEL, Endpoint

AUTO = "auto"
"""The group of a configuration that has none."""


def groups_of(settings: Settings, plugins: Plugins, asked: Sequence[str]) -> Mapping[str, GroupSettings]:
    """The groups asked for, else all; where the configuration has none, a tier of one model of each provider.

    Raises LLMRouterError for a name that is no group.
    """
    if unknown := [name for name in asked if name not in settings.groups]:
        there = ", ".join(settings.groups) or "none"
        raise LLMRouterError(f"there is no group {unknown[0]!r}. There are: {there}")
    if settings.groups:
        return {name: group for name, group in settings.groups.items() if not asked or name in asked}
    enabled = [entry for entry in settings.providers.values() if entry.enabled]
    return {AUTO: GroupSettings(tiers=(tuple([Member(_first(entry, plugins)) for entry in enabled]),))}


def cast_of(group: GroupSettings, absent: Collection[str] = ()) -> list[str]:
    """The members of a group that can be asked, in its order."""
    return [one.to for tier in group.tiers for one in tier if one.to not in absent]


def absent_of(settings: Settings, plugins: Plugins, groups: Mapping[str, GroupSettings]) -> set[str]:
    """Members that serve no chat, or belong to a provider that is not enabled."""
    cast = {one for group in groups.values() for one in cast_of(group)}
    return {one for one in cast if not _chats(one, settings, plugins)}


def _chats(member: str, settings: Settings, plugins: Plugins) -> bool:
    provider, _, model = member.partition("/")
    entry = settings.providers[provider]
    type_ = _type(entry, plugins)
    talking = {one.name for one in (*dialects.builtin(), *type_.dialects) if "chat" in one.ops}
    endpoints: Mapping[str, Endpoint] = {one.model: one for one in type_.endpoints(entry)}
    endpoint = endpoints.get(model) or endpoints.get(ANY_MODEL)
    if not entry.enabled or endpoint is None or (endpoint.ops is not None and "chat" not in endpoint.ops):
        return False
    return not talking.isdisjoint(endpoint.dialects)


def _first(entry: ProviderSettings, plugins: Plugins) -> str:
    """A model of a provider: one that is configured, else one that its plugin knows."""
    models = [*entry.models, *(one.model for one in _type(entry, plugins).endpoints(entry))]
    return f"{entry.name}/{next((one for one in models if one != ANY_MODEL), 'chaos')}"


def _type(entry: ProviderSettings, plugins: Plugins) -> ProviderType:
    type_ = plugins.get("provider", entry.plugin)
    assert isinstance(type_, ProviderType)
    return type_
