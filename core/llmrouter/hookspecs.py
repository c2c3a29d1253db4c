"""The hooks. All are called once, at start-up; what runs on the request path are the objects they lead to."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    import click

    from .protocols import (
        AppType,
        CacheType,
        MetricsSinkType,
        PolicyType,
        ProviderType,
        QuotaStoreType,
        RepairType,
        TokenCounterType,
    )

PROJECT = "llmrouter"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def llmrouter_register_providers() -> Iterable[ProviderType]:  # type: ignore[empty-body]
    """Called when the configuration names a provider plugin. Return what it can build.

    Example: `return [ProviderType(name="acme", config=Config, schema=SCHEMA, build=Acme, endpoints=endpoints)]`
    """


@hookspec
def llmrouter_register_policies() -> Iterable[PolicyType]:  # type: ignore[empty-body]
    """Called when the configuration names a policy. Return what ranks candidates.

    Example: `return [PolicyType(name="cheapest", config=Config, schema=SCHEMA, build=build)]`
    """


@hookspec
def llmrouter_register_quota_stores() -> Iterable[QuotaStoreType]:  # type: ignore[empty-body]
    """Called when the configuration names a quota store. Return where counts are kept.

    Example: `return [QuotaStoreType(name="sqlite", config=Config, schema=SCHEMA, build=opened)]`
    """


@hookspec
def llmrouter_register_caches() -> Iterable[CacheType]:  # type: ignore[empty-body]
    """Called when the configuration names a cache. Return where answers are kept.

    Example: `return [CacheType(name="disk", config=Config, schema=SCHEMA, build=opened)]`
    """


@hookspec
def llmrouter_register_metrics_sinks() -> Iterable[MetricsSinkType]:  # type: ignore[empty-body]
    """Called when the configuration names a metrics sink. Return what receives every finished request.

    Example: `return [MetricsSinkType(name="statsd", config=Config, schema=SCHEMA, build=build)]`
    """


@hookspec
def llmrouter_register_token_counters() -> Iterable[TokenCounterType]:  # type: ignore[empty-body]
    """Called at start-up when such a plugin is installed. Return what counts tokens better than the core.

    Example: `return [TokenCounterType(name="tiktoken", config=Config, schema=SCHEMA, build=build)]`
    """


@hookspec
def llmrouter_register_repairs() -> Iterable[RepairType]:  # type: ignore[empty-body]
    """Called at start-up when the plugin is installed. Return what mends JSON and tool calls that a model spoiled.

    Example: `return [RepairType(name="repair", config=Config, schema=SCHEMA, build=build)]`
    """


@hookspec
def llmrouter_register_apps() -> Iterable[AppType]:  # type: ignore[empty-body]
    """Called at start-up when such a plugin is installed. Return ASGI apps and the paths they live at.

    Example: `return [AppType(name="pages", path="/pages", config=Config, schema=SCHEMA, build=build)]`
    """


@hookspec
def llmrouter_register_commands(commands: click.Group) -> None:
    """Called when a command is asked for that the core does not have. Add commands to `commands`.

    Example: `commands.add_command(report)`
    """
