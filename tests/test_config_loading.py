from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from attrs import frozen

from llmrouter import ProviderType
from llmrouter.config import structured
from llmrouter.config.structure import seconds
from llmrouter.errors import ConfigError, PluginError
from llmrouter.plugins import Plugins
from llmrouter.quota import window
from llmrouter.settings import (
    AccountSettings,
    BreakerSettings,
    CacheSettings,
    GroupSettings,
    LimitSettings,
    Member,
    ModelSettings,
    PluginSettings,
    ProviderSettings,
    Secret,
    Settings,
)
from llmrouter.types import Price
from tests.configs import (
    ACME,
    MINIMAL,
    Acme,
    AcmePlugin,
    Cheapest,
    Nothing,
    Others,
    Shelf,
    loaded,
    some_plugins,
    told,
)


def settings(folder: Path, text: str, **options: Any) -> Settings:
    return loaded(folder, text, **options).settings


def test_what_is_not_said_has_its_default(tmp_path: Path) -> None:
    found = settings(tmp_path, MINIMAL)
    plain = Settings()
    for part in ("groups", "aliases", "routing", "engine", "breaker", "cache", "server", "logging", "plugins"):
        assert getattr(found, part) == getattr(plain, part)
    assert found.quota.config == Nothing()
    assert found.source == str(tmp_path / "llmrouter.yaml")


def test_a_provider_is_an_instance_of_its_plugins_class(tmp_path: Path) -> None:
    text = """\
providers:
  up:
    plugin: acme
    region: there
    patience: 1500ms
    token: sesame-open-up
    extra: {a: b}
    api_key: secret
    base_url: http://localhost/v1
    models: {m: {price: {input: 1, output: 2.5}, abilities: [tools], quality: 1}, n: }
    limits: [{requests: 10, per: minute}, {usd: 1, per: day, reset: "00:00 Europe/Berlin", scope: provider}]
    timeout: 2m
"""
    found = settings(tmp_path, text).providers["up"]
    assert found == Acme(
        name="up",
        plugin="acme",
        region="there",
        patience=1.5,
        token=Secret("sesame-open-up"),
        extra={"a": "b"},
        base_url="http://localhost/v1",
        accounts=(AccountSettings(id="up", api_key=Secret("secret")),),
        models={
            "m": ModelSettings(price=Price(input=1, output=2.5), abilities=frozenset({"tools"}), quality=1.0),
            "n": ModelSettings(),
        },
        limits=(
            LimitSettings(unit="requests", amount=10, window="minute"),
            LimitSettings(unit="usd", amount=1, window="day Europe/Berlin", scope="provider"),
        ),
        timeout=120.0,
    )
    assert isinstance(found.models["m"].quality, float)


def test_a_provider_without_a_key_has_one_account_of_its_own_name(tmp_path: Path) -> None:
    assert settings(tmp_path, MINIMAL).providers["acme"].accounts == (AccountSettings(id="acme"),)


def test_accounts_are_taken_as_they_are_written(tmp_path: Path) -> None:
    text = (
        "providers: {acme: {plugin: acme, accounts: [{id: a, api_key: x, quota_group: g, weight: 2, "
        "limits: [{concurrent: 4}, {tokens: 1e6, per: 5h}]}, {id: b, enabled: false}]}}"
    )
    assert settings(tmp_path, text).providers["acme"].accounts == (
        AccountSettings(
            id="a",
            api_key=Secret("x"),
            quota_group="g",
            weight=2.0,
            limits=(
                LimitSettings(unit="concurrent", amount=4, window=""),
                LimitSettings(unit="tokens", amount=1_000_000, window="5h"),
            ),
        ),
        AccountSettings(id="b", enabled=False),
    )


@pytest.mark.parametrize(
    ("says", "window_"),
    [
        ("per: second", "second"),
        ("per: minute", "minute"),
        ("per: 90s", "90s"),
        ("per: week", "week"),
        ("per: month, reset: 00:00 Asia/Tokyo", "month Asia/Tokyo"),
        ("per: day, reset: 22:00 UTC", "day 22:00 UTC"),
        ("per: week, reset: 04:30", "week 04:30"),
        ("per: day, reset: 00:00", "day 00:00"),
    ],
)
def test_every_window_is_one_the_engine_knows(tmp_path: Path, says: str, window_: str) -> None:
    found = settings(tmp_path, f"providers: {{acme: {{plugin: acme, limits: [{{usd: 1, {says}}}]}}}}")
    assert found.providers["acme"].limits[0].window == window_
    begins, ends = window(window_).bounds(1e9)
    assert begins <= 1e9 < ends


@pytest.mark.parametrize(
    ("group", "tiers"),
    [
        ("[acme/x, acme/y]", ((Member("acme/x"), Member("acme/y")),)),
        ("[[acme/x], [acme/y]]", ((Member("acme/x"),), (Member("acme/y"),))),
        ("[{to: acme/x, weight: 3}, acme/y]", ((Member("acme/x", 3.0), Member("acme/y")),)),
        ("{members: [[acme/x]]}", ((Member("acme/x"),),)),
    ],
)
def test_groups_are_tiers_in_every_form(tmp_path: Path, group: str, tiers: Any) -> None:
    assert settings(tmp_path, f"{MINIMAL}groups: {{g: {group}}}").groups["g"] == GroupSettings(tiers=tiers)


def test_a_group_overrides_policy_and_parts_of_the_engine(tmp_path: Path) -> None:
    text = (
        f"{MINIMAL}engine: {{attempts: 3, timeouts: {{connect: 1s, idle: 9s}}}}\n"
        "groups: {g: {members: [acme/x], policy: {plugin: cheapest, mode: free}, "
        "engine: {deadline: 5s, timeouts: {idle: 2s}}}}"
    )
    found = settings(tmp_path, text)
    group = found.groups["g"]
    assert group.policy == PluginSettings(plugin="cheapest", config=Cheapest(mode="free"))
    assert group.engine is not None
    assert (group.engine.attempts, group.engine.deadline) == (3, 5.0)
    assert (group.engine.timeouts.connect, group.engine.timeouts.idle) == (1.0, 2.0)
    assert found.engine.timeouts.idle == 9.0


def test_each_plugin_gets_its_own_keys_and_the_core_its(tmp_path: Path) -> None:
    text = f"""{MINIMAL}
routing: {{policy: {{plugin: cheapest, within: 1m}}, sticky: {{session: false}}}}
quota: {{fail: closed}}
cache: {{plugin: shelf, path: /tmp/x, ttl: 15m, shared: true}}
metrics: [{{plugin: paper}}]
breaker: {{window: 10s}}
"""
    found = settings(tmp_path, text)
    assert found.routing.policy == PluginSettings(plugin="cheapest", config=Cheapest(within=60.0))
    assert found.routing.sticky.session is False
    assert (found.quota.plugin, found.quota.fail, found.quota.config) == ("memory", "closed", Nothing())
    assert found.cache == CacheSettings(plugin="shelf", config=Shelf(path=Path("/tmp/x")), ttl=900.0, shared=True)
    assert found.metrics == (PluginSettings(plugin="paper", config=Nothing()),)
    assert found.breaker == BreakerSettings(window=10.0)


def test_nothing_is_a_breaker_and_a_cache_too(tmp_path: Path) -> None:
    found = settings(tmp_path, f"{MINIMAL}breaker: null\ncache: null\n")
    assert found.breaker is None
    assert found.cache is None


def test_an_empty_cache_is_the_one_in_memory(tmp_path: Path) -> None:
    assert settings(tmp_path, f"{MINIMAL}cache: {{}}\n").cache == CacheSettings(config=Nothing())


def test_settings_cannot_be_changed(tmp_path: Path) -> None:
    with pytest.raises(AttributeError):
        settings(tmp_path, MINIMAL).source = "elsewhere"  # type: ignore[misc]


def test_a_plugins_class_may_refuse_a_value_with_words_of_its_own(tmp_path: Path) -> None:
    assert told(tmp_path, "providers: {acme: {plugin: acme, region: nowhere}}") == [
        "1:19 providers.acme: nobody lives in nowhere"
    ]


def test_what_a_plugins_class_does_not_take_is_told_without_values(tmp_path: Path) -> None:
    @frozen(kw_only=True)
    class Narrow(ProviderSettings):
        region: int = 0

    plugins = Plugins()
    plugins.register(AcmePlugin(config=Narrow), "provider-acme")
    found = told(tmp_path, "providers: {acme: {plugin: acme, extra: {a: pass-word}, region: x}}", plugins=plugins)
    assert all("does not fit what its plugin expects" in one or "region" in one for one in found)
    assert "pass-word" not in str(found)


def test_a_plugin_that_is_not_installed_is_a_warning_or_an_error(tmp_path: Path) -> None:
    text = f"{MINIMAL}metrics: [{{plugin: statsd, anything: 1}}]\ncache: {{plugin: redis, url: x}}\n"
    assert told(tmp_path, text) == [
        '2:20 metrics[0].plugin: no metrics plugin "statsd" is installed, so its own keys are not checked. '
        "Try: pip install llmrouter-metrics-statsd",
        '3:17 cache.plugin: no cache plugin "redis" is installed, so its own keys are not checked. '
        "Try: pip install llmrouter-cache-redis",
    ]
    found = loaded(tmp_path, text)
    assert all(one.warning for one in found.warnings)
    assert found.settings.metrics == (PluginSettings(plugin="statsd", config={"anything": 1}),)
    with pytest.raises(ConfigError, match=r'"redis" is installed \(there are: memory, shelf\). Try: pip install'):
        loaded(tmp_path, text, require_plugins=True)


def test_a_provider_whose_plugin_is_not_installed_keeps_the_cores_keys(tmp_path: Path) -> None:
    found = loaded(tmp_path, "providers: {other: {plugin: other, mode: x, timeout: 2m}}")
    assert found.settings.providers["other"] == ProviderSettings(
        name="other", plugin="other", timeout=120.0, accounts=(AccountSettings(id="other"),)
    )


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (MINIMAL + "logging: {prompts: true}\n", "2:11 logging.prompts: unknown key."),
        ("providers: {acme: {plugin: acme, tags: [a]}}", "1:34 providers.acme.tags: unknown key."),
        ("providers: {acme: {plugin: acme, terms: {note: x}}}", "1:42 providers.acme.terms.note: unknown key."),
    ],
)
def test_a_key_that_would_do_nothing_is_not_known(tmp_path: Path, text: str, place: str) -> None:
    found = told(tmp_path, text)
    assert len(found) == 1
    assert found[0].startswith(place)


def test_a_slip_in_a_plugins_name_is_an_error_in_any_case(tmp_path: Path) -> None:
    assert told(tmp_path, "providers: {acme: {plugin: acmee}}") == [
        '1:28 providers.acme.plugin: no provider plugin "acmee" is installed. Did you mean "acme"?'
    ]
    with pytest.raises(ConfigError):
        loaded(tmp_path, "providers: {acme: {plugin: acmee}}")


def test_a_short_name_is_not_taken_for_a_slip_too_soon(tmp_path: Path) -> None:
    plugins = Plugins()
    plugins.register(AcmePlugin("disk"), "provider-disk")
    found = told(tmp_path, "providers: {a: {plugin: redis}}", plugins=plugins)
    assert "pip install llmrouter-provider-redis" in found[0]


def test_a_broken_plugin_is_told_where_it_is_named(tmp_path: Path) -> None:
    class Entry:
        name, value, dist = "provider-broken", "broken", None

        def load(self) -> object:
            raise ImportError("no module named vendor")

    plugins = Plugins.discover(environ={}, entries=[Entry()])  # type: ignore[list-item]
    found = told(tmp_path, "providers: {b: {plugin: broken}}", plugins=plugins)
    assert found[0].startswith("1:25 providers.b.plugin: plugin provider-broken")


def test_what_the_configuration_allows_is_what_may_load(tmp_path: Path) -> None:
    text = f"{MINIMAL}plugins: {{allow: [provider-acme], disable: [pages]}}\n"
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, text, plugins=None, require_plugins=True)
    assert "acme" in str(caught.value)
    found = loaded(tmp_path, text, plugins=None, builtins=[(AcmePlugin(), "provider-acme"), (Others(), "others")])
    assert found.plugins.allow == ["provider-acme"]
    assert found.plugins.disable == ["pages"]
    assert found.settings.plugins.allow == ("provider-acme",)


def test_the_revision_is_of_what_takes_effect(tmp_path: Path) -> None:
    def revision(text: str, **environ: str) -> str:
        return loaded(tmp_path, text, environ).settings.revision

    plain = revision(MINIMAL)
    assert len(plain) == 12
    assert revision("# words\n" + MINIMAL + "logging: {level: info}\n") == plain
    assert revision(MINIMAL + "logging: {level: debug}\n") != plain
    keyed = "providers: {acme: {plugin: acme, api_key: '${K}', region: '${R:-x}'}}"
    assert revision(keyed, K="one") == revision(keyed, K="two")
    assert revision(keyed, K="one") != revision(keyed, K="one", R="there")


def test_a_plugin_inside_a_plugin_is_checked_the_same(tmp_path: Path) -> None:
    plugins = some_plugins()
    assert structured(plugins, "policy", {"plugin": "cheapest", "within": "5m"}) == PluginSettings(
        plugin="cheapest", config=Cheapest(within=300.0)
    )
    with pytest.raises(ConfigError, match=r'mod: unknown key. Did you mean "mode"'):
        structured(plugins, "policy", {"plugin": "cheapest", "mod": "free"})
    with pytest.raises(PluginError, match="pip install llmrouter-policy-zzz"):
        structured(plugins, "policy", {"plugin": "zzz"})


@pytest.mark.parametrize(
    ("text", "value"), [("500ms", 0.5), ("600s", 600.0), ("15m", 900.0), ("1h30m", 5400.0), ("1.5d", 129600.0)]
)
def test_durations_are_seconds(text: str, value: float) -> None:
    assert seconds(text) == value


@pytest.mark.parametrize("text", ["", "5", "s", "5 s", "5w", "-5s"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be a duration"):
        seconds(text)


def test_a_provider_type_with_the_cores_own_class_works(tmp_path: Path) -> None:
    plugins = Plugins()
    plugins.register(AcmePlugin(config=ProviderSettings, schema={"type": "object"}), "provider-acme")
    assert isinstance(plugins.get("provider", "acme"), ProviderType)
    assert type(settings(tmp_path, MINIMAL, plugins=plugins).providers["acme"]) is ProviderSettings
    assert ACME["properties"]
