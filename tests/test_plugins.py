from __future__ import annotations

import logging
from collections.abc import Iterable
from importlib.metadata import EntryPoint
from typing import Any

import click
import pytest

from llmrouter import AppType, PolicyType, ProviderType, TokenCounterType, __version__, hookimpl
from llmrouter.errors import PluginError
from llmrouter.plugins import GROUP, Plugins
from llmrouter.settings import ProviderSettings
from tests.configs import AcmePlugin, Nothing, Others, build, keys


class Distribution:
    def __init__(self, name: str, requires: Iterable[str] = (f"llmrouter=={__version__}",)) -> None:
        self.name = name
        self.version = "1.2.3"
        self.requires = list(requires)


class Entry:
    """What an installed distribution says of its plugin."""

    def __init__(
        self,
        name: str,
        plugin: object = None,
        dist: Distribution | None = None,
        value: str = "package",
    ) -> None:
        self.name = name
        self.value = value
        self.plugin = plugin
        self.dist = dist or Distribution(f"llmrouter-{name}")
        self.loads = 0

    def load(self) -> object:
        self.loads += 1
        if isinstance(self.plugin, Exception):
            raise self.plugin
        return self.plugin


class Counter:
    """A plugin with a plain name."""

    @hookimpl
    def llmrouter_register_token_counters(self) -> Iterable[TokenCounterType]:
        return [TokenCounterType(name="words", config=Nothing, schema=keys(), build=build)]

    @hookimpl
    def llmrouter_register_apps(self) -> Iterable[AppType]:
        return [AppType(name="pages", path="/pages", config=Nothing, schema=keys(), build=build)]

    @hookimpl
    def llmrouter_register_commands(self, commands: click.Group) -> None:
        commands.add_command(click.Command("count"))


def discovered(*entries: Entry, environ: dict[str, str] | None = None, **options: Any) -> Plugins:
    found: Iterable[Any] = entries
    return Plugins.discover(environ=environ or {}, entries=found, **options)


# --- loading


def test_a_plugin_is_imported_when_it_is_asked_for_and_only_once() -> None:
    entry, other = Entry("provider-acme", AcmePlugin()), Entry("provider-other", ImportError())
    plugins = discovered(entry, other)
    assert entry.loads == 0
    assert plugins.names("provider") == ["acme", "other"]
    first = plugins.get("provider", "acme")
    assert plugins.get("provider", "acme") is first
    assert (entry.loads, other.loads) == (1, 0)


def test_plugins_with_a_plain_name_load_at_the_start() -> None:
    counter, acme = Entry("counting", Counter()), Entry("provider-acme", AcmePlugin())
    plugins = discovered(counter, acme)
    assert [type_.name for type_ in plugins.always("tokens")] == ["words"]
    assert [type_.name for type_ in plugins.always("app")] == ["pages"]
    assert (counter.loads, acme.loads) == (1, 0)
    assert not plugins.installed()[0].on_demand


def test_all_gives_every_plugin_of_a_kind() -> None:
    plugins = discovered(Entry("provider-acme", AcmePlugin()), Entry("provider-b", AcmePlugin("b")))
    assert [type_.name for type_ in plugins.all("provider")] == ["acme", "b"]


def test_two_managers_do_not_see_each_other() -> None:
    first, second = Plugins(), Plugins()
    first.register(Others(), "others")
    assert first.names("cache") == ["memory", "shelf"]
    assert second.names("cache") == []


def test_the_real_entry_points_are_looked_at() -> None:
    found = Plugins.discover(environ={})
    assert all(isinstance(one.entry, EntryPoint) and one.entry.group == GROUP for one in found.installed())


# --- what is not there


def test_an_unknown_plugin_is_told_with_what_to_install() -> None:
    with pytest.raises(PluginError, match="Try: pip install llmrouter-cache-redis") as caught:
        discovered().get("cache", "redis")
    assert "(there are: none)" in str(caught.value)


def test_a_slip_is_told_with_what_was_meant() -> None:
    with pytest.raises(PluginError, match=r"Did you mean 'acme'\?"):
        discovered(Entry("provider-acme")).get("provider", "acem")


def test_a_plugin_that_brings_another_name_than_its_own_is_its_authors_fault() -> None:
    plugins = discovered(Entry("provider-acme", AcmePlugin("something-else")))
    with pytest.raises(PluginError, match="brings no provider 'acme': tell its author"):
        plugins.get("provider", "acme")


def test_has_says_whether_there_is_something_to_get() -> None:
    plugins = discovered(Entry("provider-acme", ImportError()), disable=["provider-acme"])
    plugins.register(Others(), "others")
    assert plugins.has("provider", "acme")
    assert plugins.has("cache", "shelf")
    assert not plugins.has("cache", "acme")


# --- what may be loaded


@pytest.mark.parametrize(
    ("options", "environ"),
    [
        ({"disable": ["provider-acme"]}, {}),
        ({"allow": ["provider-b"]}, {}),
        ({"allow": ["provider-acme"], "disable": ["provider-acme"]}, {}),
        ({}, {"LLMROUTER_DISABLE_PLUGINS": "x, provider-acme"}),
        ({}, {"LLMROUTER_PLUGINS": "provider-b"}),
        ({"allow": ["provider-b"]}, {"LLMROUTER_PLUGINS": "provider-acme provider-b"}),
    ],
)
def test_what_is_not_allowed_is_not_imported(options: dict[str, Any], environ: dict[str, str]) -> None:
    entry = Entry("provider-acme", AcmePlugin())
    plugins = discovered(entry, environ=environ, **options)
    assert plugins.names("provider") == []
    with pytest.raises(PluginError, match="installed but not allowed"):
        plugins.get("provider", "acme")
    assert [problem for _, problem in plugins.doctor()] == ["not allowed by the configuration"]
    assert entry.loads == 0


def test_the_environment_may_narrow_to_what_the_configuration_allows() -> None:
    plugins = discovered(
        Entry("provider-acme", AcmePlugin()),
        environ={"LLMROUTER_PLUGINS": "provider-acme"},
        allow=["provider-acme"],
    )
    assert plugins.get("provider", "acme").name == "acme"


def test_a_disabled_plain_plugin_stays_out() -> None:
    entry = Entry("counting", Counter())
    assert discovered(entry, disable=["counting"]).always("tokens") == []
    assert entry.loads == 0


# --- what is broken


def test_a_plugin_that_cannot_be_imported_is_named_with_its_distribution() -> None:
    plugins = discovered(Entry("provider-acme", ImportError("no vendor")))
    for _ in range(2):
        with pytest.raises(PluginError, match=r"\(llmrouter-provider-acme 1.2.3\) cannot be imported.*no vendor"):
            plugins.get("provider", "acme")


def test_two_distributions_with_one_name_are_both_named() -> None:
    plugins = discovered(
        Entry("provider-acme", AcmePlugin()),
        Entry("provider-acme", AcmePlugin(), Distribution("acme-router"), "other"),
    )
    with pytest.raises(PluginError, match=r"llmrouter-provider-acme \(package\) and acme-router \(other\)"):
        plugins.get("provider", "acme")


def test_one_distribution_seen_twice_is_one() -> None:
    plugins = discovered(Entry("provider-acme", AcmePlugin()), Entry("provider-acme", AcmePlugin()))
    assert plugins.get("provider", "acme").name == "acme"


def test_two_plugins_that_bring_one_type_are_both_named_and_the_second_brings_nothing() -> None:
    plugins = discovered(Entry("provider-acme", AcmePlugin()), Entry("provider-b", Both()))
    plugins.get("provider", "acme")
    for _ in range(2):
        with pytest.raises(
            PluginError, match="two plugins bring the provider 'acme': provider-acme and provider-b"
        ):
            plugins.get("provider", "b")
    assert plugins.names("policy") == []


class Both:
    """Brings a type of its own, and one that is there already."""

    @hookimpl
    def llmrouter_register_policies(self) -> Iterable[PolicyType]:
        return [PolicyType(name="mine", config=Nothing, schema=keys(), build=build)]

    @hookimpl
    def llmrouter_register_providers(self) -> Iterable[ProviderType]:
        return [AcmePlugin("b").type_, AcmePlugin().type_]


class Raises:
    @hookimpl
    def llmrouter_register_caches(self) -> Iterable[Any]:
        raise RuntimeError("no disk")


class Misnamed:
    @hookimpl
    def llmrouter_register_nothing(self) -> None:
        """No such hook."""


class WrongArguments:
    @hookimpl
    def llmrouter_register_caches(self, surplus: str) -> None:
        """No such argument."""


class WrongKind:
    @hookimpl
    def llmrouter_register_caches(self) -> Iterable[Any]:
        return [PolicyType(name="x", config=Nothing, schema=keys(), build=build)]


class WrongClass:
    @hookimpl
    def llmrouter_register_providers(self) -> Iterable[Any]:
        return [AcmePlugin(config=Nothing).type_]


@pytest.mark.parametrize(
    ("plugin", "problem"),
    [
        (Raises(), "failed in llmrouter_register_caches: RuntimeError"),
        (Misnamed(), f"does not fit this llmrouter {__version__}"),
        (WrongArguments(), f"does not fit this llmrouter {__version__}"),
        (WrongKind(), "registers a PolicyType as cache, not a CacheType"),
        (WrongClass(), "`config` of provider 'acme' must extend ProviderSettings"),
    ],
)
def test_a_plugin_that_does_not_fit_is_left_out_and_the_others_work(plugin: object, problem: str) -> None:
    plugins = discovered(Entry("cache-bad", plugin))
    for _ in range(2):
        with pytest.raises(PluginError) as caught:
            plugins.get("cache", "bad")
        assert problem in str(caught.value)
    assert problem in plugins.doctor()[0][1]
    plugins.register(Others(), "others")
    assert "shelf" in plugins.names("cache")


def test_registering_twice_is_refused_and_takes_nothing_away() -> None:
    plugins = Plugins()
    others = Others()
    plugins.register(others, "others")
    for again, name in ((others, "again"), (Counter(), "others")):
        with pytest.raises(PluginError, match="is there twice"):
            plugins.register(again, name)
    assert plugins.get("cache", "shelf").name == "shelf"


@pytest.mark.parametrize(
    ("requires", "fits"),
    [
        (["llmrouter>=0.0.1"], True),
        (["llmrouter>=99"], False),
        (["llmrouter[standard]>=99"], False),
        (["llmrouter (>=99)"], False),
        (["httpx", "llmrouter-cache-disk>=99"], True),
        (['llmrouter>=99; extra == "test"'], True),
        ([], True),
    ],
)
def test_a_plugin_for_another_core_is_refused(requires: list[str], fits: bool) -> None:
    plugins = discovered(Entry("provider-acme", AcmePlugin(), Distribution("acme", requires)))
    if fits:
        assert plugins.get("provider", "acme").name == "acme"
        return
    with pytest.raises(PluginError, match=r"needs llmrouter.*pip install -U llmrouter acme"):
        plugins.get("provider", "acme")


# --- looking


def test_doctor_imports_everything_and_says_what_is_wrong() -> None:
    plugins = discovered(
        Entry("provider-acme", AcmePlugin()), Entry("counting", Counter()), Entry("cache-x", ValueError("bad"))
    )
    assert [(one.name, bool(problem)) for one, problem in plugins.doctor()] == [
        ("cache-x", True),
        ("counting", False),
        ("provider-acme", False),
    ]


def test_commands_come_from_sound_plugins_and_broken_ones_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    group = click.Group()
    with caplog.at_level(logging.WARNING):
        discovered(
            Entry("counting", Counter()),
            Entry("cache-x", ValueError("bad")),
            Entry("off", ValueError()),
            disable=["off"],
        ).commands(group)
    assert list(group.commands) == ["count"]
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "cache-x" in caplog.text


class BadCommands:
    @hookimpl
    def llmrouter_register_commands(self, commands: click.Group) -> None:
        raise RuntimeError("no terminal")


def test_a_plugin_that_fails_to_add_its_commands_takes_none_of_the_others_away(
    caplog: pytest.LogCaptureFixture,
) -> None:
    group = click.Group()
    discovered(Entry("a", BadCommands()), Entry("b", Counter()), Entry("c", AcmePlugin())).commands(group)
    assert list(group.commands) == ["count"]
    assert "plugin a failed in llmrouter_register_commands" in caplog.text


def test_tracing_logs_each_load(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        discovered(Entry("provider-acme", AcmePlugin()), environ={"LLMROUTER_TRACE_PLUGINS": "1"}).get(
            "provider", "acme"
        )
    assert "loaded provider-acme from llmrouter-provider-acme" in caplog.text


def test_an_entry_without_a_distribution_has_no_version() -> None:
    entry = Entry("provider-acme", AcmePlugin(config=ProviderSettings))
    entry.dist = None  # type: ignore[assignment]
    one = discovered(entry).installed()[0]
    assert (one.distribution, one.version, one.on_demand) == ("(none)", "", True)
