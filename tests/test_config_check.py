from __future__ import annotations

from pathlib import Path

import pytest

from llmrouter.plugins import Plugins
from tests.configs import MINIMAL, AcmePlugin, keys, loaded, told


def only(folder: Path, text: str) -> str:
    """The one problem of a configuration."""
    found = told(folder, text)
    assert len(found) == 1, found
    return found[0]


def test_a_sound_configuration_has_no_problems(tmp_path: Path) -> None:
    assert told(tmp_path, MINIMAL) == []


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("server: {port: web}", '2:16 server.port: must be a whole number, not "web".'),
        ("server: {port: 70000}", "2:16 server.port: must be at most 65535, not 70000."),
        ("server: {workers: 0}", "2:19 server.workers: must be at least 1, not 0."),
        ("server: {workers: true}", "2:19 server.workers: must be a whole number, not true."),
        ("server: [a]", "2:9 server: must be a mapping, not a list."),
        ("server: {host: 22:00:00}", ""),
        ("server: {host: 1e3}", "2:16 server.host: must be text, not 1000.0."),
        ("server: {host: ''}", "2:16 server.host: may not be empty"),
        ("server: {prot: 1}", '2:10 server.prot: unknown key. Did you mean "port"?'),
        ("logging: {zzz: 1}", "2:11 logging.zzz: unknown key. Known here: format, level."),
        ("logging: {prompts: on}", "2:11 logging.prompts: unknown key. Known here: format, level."),
        ("cache: {shared: on}", '2:17 cache.shared: must be true or false, not "on".'),
        (
            "logging: {level: warn}",
            '2:18 logging.level: must be debug, info, warning or error, not "warn". Did you mean "warning"?',
        ),
        (
            "engine: {deadline: 600}",
            "2:20 engine.deadline: must be a duration above zero, with its unit, such as 500ms, 600s, 15m or 1h, "
            "not 600.",
        ),
        ("engine: {deadline: 0s}", "engine.deadline: must be a duration above zero"),
        ("engine: {deadline: 10 minutes}", "engine.deadline: must be a duration above zero"),
        ("engine: {wait_max: 0s}", ""),
        ("engine: {wait_max: -1s}", "engine.wait_max: must be a duration"),
        ("engine: {retry_budget: {ratio: -1}}", "must be at least 0, not -1."),
        ("breaker: {failure_ratio: 0}", "2:26 breaker.failure_ratio: must be more than 0, not 0."),
        ("breaker: null", ""),
        ("breaker: off", '2:10 breaker: must be a mapping or null, not "off".'),
        ("cache: null", ""),
        ("cache: {}", ""),
        ("cache: {ttl: 3600}", "2:14 cache.ttl: must be a duration"),
        ("cache: {plugin: shelf, pat: x}", '2:24 cache.pat: unknown key. Did you mean "path"?'),
        ("quota: {fail: closed}", ""),
        ("quota: {path: x}", "2:9 quota.path: unknown key. Known here: fail, plugin."),
        ("metrics: {plugin: paper}", "2:10 metrics: must be a list, not a mapping."),
        ("metrics: [{}]", "2:11 metrics[0]: the key “plugin” is missing"),
        ("metrics: [{plugin: 5}]", "2:20 metrics[0].plugin: must be text, not 5."),
        ("routing: {policy: {plugin: cheapest, mode: fre}}", 'not "fre". Did you mean "free"?'),
        ("routing: {policy: {plugin: cheapest, within: soon}}", "routing.policy.within: must be a duration"),
        ("routing: {policy: {}}", "2:19 routing.policy: the key “plugin” is missing"),
        (
            "groups: {g: acme/x}",
            "2:13 groups.g: must be a list of members or of tiers or {members, policy, engine}",
        ),
        ("groups: {g: []}", "2:13 groups.g: may not be empty"),
        ("groups: {g: [[]]}", "2:14 groups.g[0]: may not be empty"),
        ("groups: {g: [acme]}", '2:14 groups.g[0]: must be “provider/model”, not "acme".'),
        (
            "groups: {g: [5]}",
            "2:14 groups.g[0]: must be “provider/model”, {to, weight} or a tier of them, not 5.",
        ),
        ("groups: {g: [{to: acme/x, weight: 0}]}", "2:35 groups.g[0].weight: must be more than 0, not 0."),
        ("groups: {g: [{too: acme/x}]}", 'groups.g[0].too: unknown key. Did you mean "to"?'),
        ("groups: {g: {policy: {plugin: cheapest}}}", "2:13 groups.g: the key “members” is missing"),
        ("groups: {g: {members: [acme/x], engine: {attempts: 0}}}", "groups.g.engine.attempts: must be at least 1"),
        ("aliases: {a: 5}", "2:14 aliases.a: must be text, not 5."),
        ("zzzzzz: 1", "2:1 zzzzzz: unknown key. Known here: aliases, breaker, cache,"),
        ("metrisc: 1", '2:1 metrisc: unknown key. Did you mean "metrics"?'),
    ],
)
def test_each_mistake_says_where_what_and_what_to_do(tmp_path: Path, line: str, problem: str) -> None:
    found = told(tmp_path, MINIMAL + line + "\n")
    if not problem:
        assert [one for one in found if "everybody may spend" not in one] == []
    else:
        assert any(problem in one for one in found), found


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ("{plugin: acme, regoin: x}", '1:31 providers.p.regoin: unknown key. Did you mean "region"?'),
        ("{plugin: acme, timeuot: 1s}", 'unknown key. Did you mean "timeout"?'),
        ("{plugin: acme, region: 5}", "1:39 providers.p.region: must be text, not 5."),
        ("{plugin: acme, patience: long}", "providers.p.patience: must be a duration above zero"),
        ("{plugin: acme, extra: {a: 1}}", "providers.p.extra.a: must be text, not 1."),
        ("{plugin: acme, base_url: acme.example}", "must be an http(s) address, such as http://127.0.0.1:8000/v1"),
        ("{plugin: acme, select: best}", "1:39 providers.p.select: must be round_robin, least_used"),
        (
            "{plugin: acme, models: {m: {price: {input: -1, output: 1}}}}",
            "price.input: must be at least 0, not -1.",
        ),
        ("{plugin: acme, models: {m: {price: {input: 1}}}}", "price: the key “output” is missing"),
        ("{plugin: acme, models: {m: {quality: 2}}}", "models.m.quality: must be at most 1, not 2."),
        ("{plugin: acme, models: {m: {abilities: [a, a]}}}", "abilities: names something twice"),
        ("{plugin: acme, limits: [{requests: 0, per: day}]}", "limits[0].requests: must be more than 0, not 0."),
        ("{plugin: acme, limits: [{requests: 1}]}", "limits[0]: “requests” needs “per” beside it"),
        ("{plugin: acme, limits: [{per: day}]}", "limits[0]: needs exactly one of requests, tokens, input_tokens"),
        ("{plugin: acme, limits: [{usd: 1, tokens: 1, per: day}]}", "limits[0]: needs exactly one of requests"),
        (
            "{plugin: acme, limits: [{concurrent: 1, per: day}]}",
            "1:56 providers.p.limits[0].per: is not allowed here",
        ),
        (
            "{plugin: acme, limits: [{usd: 1, per: year}]}",
            "must be a window, such as minute, hour, day, week, month or 5h",
        ),
        (
            '{plugin: acme, limits: [{usd: 1, per: hour, reset: "00:00 UTC"}]}',
            'per: must be day, week or month, because `reset` is a time of day, not "hour".',
        ),
        (
            "{plugin: acme, limits: [{usd: 1, per: day, reset: 25:00}]}",
            "reset: must be a time of day and its time zone",
        ),
        ("{plugin: acme, limits: free}", 'limits: must be a list, not "free".'),
        ("{plugin: acme, accounts: []}", "accounts: may not be empty"),
        ("{plugin: acme, accounts: [{weight: 1}]}", "accounts[0]: the key “id” is missing"),
        ("{plugin: acme, accounts: [{id: 'a b'}]}", "accounts[0].id: must be a name of letters"),
        ("{plugin: acme, terms: {multi_account: yes}}", 'must be allowed, unclear or forbidden, not "yes".'),
        ("{}", "1:16 providers.p: the key “plugin” is missing"),
        ("null", "1:16 providers.p: must be a mapping, not null."),
    ],
)
def test_each_mistake_in_a_provider_has_its_own_path(tmp_path: Path, entry: str, problem: str) -> None:
    assert problem in only(tmp_path, f"providers: {{p: {entry}}}\n")


@pytest.mark.parametrize("name", ["a/b", "a b", "''", "-a"])
def test_a_provider_has_a_name_that_can_stand_before_a_slash(tmp_path: Path, name: str) -> None:
    assert "1:13" in only(tmp_path, f"providers: {{{name}: {{plugin: acme}}}}\n")
    assert "must be a name of letters" in only(tmp_path, f"providers: {{{name}: {{plugin: acme}}}}\n")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "must be a mapping, not null"),
        ("hello", 'must be a mapping, not "hello"'),
        ("server: {}", "the key “providers” is missing"),
        ("providers: {}", "providers: may not be empty"),
    ],
)
def test_a_file_without_providers_is_refused(tmp_path: Path, text: str, problem: str) -> None:
    assert problem in only(tmp_path, text)


def test_all_mistakes_are_told_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    found = told(
        tmp_path,
        "server: {port: web}\n"
        "logging: {levle: info}\n"
        "providers:\n"
        "  acme: {plugin: acme, region: 5}\n"
        "  acme: {plugin: acme}\n"
        "groups:\n"
        "  g: [acne/x]\n"
        "engine: {deadline: 5}\n",
    )
    assert [one.split(" ")[0] for one in found] == ["1:16", "2:11", "4:32", "5:3", "7:7", "8:20"]


def test_a_mistake_is_told_once_however_many_rules_it_breaks(tmp_path: Path) -> None:
    assert len(told(tmp_path, "providers: {a: 1, b: {plugin: acme, limits: [{}]}}\n")) == 2


ODD = keys(
    one={"const": "this"},
    two={"type": "integer", "multipleOf": 2},
    pair={"type": "array", "minItems": 2, "maxItems": 2},
    either={"anyOf": [{"anyOf": [{"type": "string"}, {"type": "boolean"}]}, {"type": "integer", "minimum": 9}]},
    kinds={"oneOf": [{"type": "integer"}, {"type": "number"}]},
    nothing={"not": {"type": "string"}},
    never=False,
    closed={"type": "object", "additionalProperties": False},
    low={"exclusiveMaximum": 1},
)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("one: that", 'one: must be this, not "that".'),
        ("two: 3", "two: must be as the schema says: multipleOf 2, not 3."),
        ("pair: [1]", "pair: must have at least 2 elements"),
        ("pair: [1, 2, 3]", "pair: must be as the schema says: maxItems 2, not a list."),
        ("either: [1]", "either: must be text, true or false or a whole number, not a list."),
        ("either: 3", "either: must be at least 9, not 3."),
        ("kinds: 1", "kinds: must be as the schema says: oneOf a list"),
        ("nothing: text", "nothing: is not allowed here"),
        ("never: text", "providers.odd: is not allowed here"),
        ("closed: {a: 1}", "closed.a: unknown key. Known here: none."),
        ("low: 1", "low: must be less than 1, not 1."),
    ],
)
def test_whatever_a_plugins_schema_says_has_words(tmp_path: Path, line: str, problem: str) -> None:
    plugins = Plugins()
    plugins.register(AcmePlugin(schema=ODD), "provider-acme")
    found = told(tmp_path, f"providers: {{odd: {{plugin: acme, {line}}}}}\n", plugins=plugins)
    assert problem in found[0], found
    assert len(found) == 1


@pytest.mark.parametrize("key", ["deadline", "wait_max"])
def test_durations_may_have_several_units(tmp_path: Path, key: str) -> None:
    settings = loaded(tmp_path, MINIMAL + f"engine: {{{key}: 1m30s}}\n").settings
    assert getattr(settings.engine, key) == 90.0
