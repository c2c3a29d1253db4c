from __future__ import annotations

from pathlib import Path

import pytest

from llmrouter.plugins import Plugins
from tests.configs import AcmePlugin, told

PROVIDERS = """\
providers:
  acme: {plugin: acme, models: {bare-model: {}}}
  best: {plugin: acme}
groups: {fast: [acme/x]}
aliases: {quick: fast, one: uno, uno: best/z}
"""
HASH = "sha256:" + "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("routing: {default: fast}", ""),
        ("routing: {default: quick}", ""),
        ("routing: {default: best/some/model:free}", ""),
        ("routing: {default: bare-model}", ""),
        (
            "routing: {default: fsat}",
            '6:20 routing.default: "fsat" is no group, alias or “provider/model”. Did you mean "fast"?',
        ),
        (
            "routing: {default: acne/x}",
            '6:20 routing.default: the provider "acne" is not configured. Did you mean "acme"?',
        ),
        ("routing: {default: zzzz/x}", 'the provider "zzzz" is not configured. Configured: acme, best.'),
        ("routing: {tasks: {coding: {prefer: [acme], fallback: [best], models: [one, acme/x]}}}", ""),
        ("routing: {tasks: {coding: {prefer: [acne]}}}", "6:37 routing.tasks.coding.prefer[0]: the provider"),
        (
            "routing: {tasks: {coding: {fallback: [acme, bets]}}}",
            'routing.tasks.coding.fallback[1]: the provider "bets"',
        ),
        (
            "routing: {tasks: {coding: {models: [quick]}}}",
            'routing.tasks.coding.models[0]: "quick" is no “provider',
        ),
        ("routing: {tasks: {coding: {models: [acne/x]}}}", 'models[0]: the provider "acne" is not configured'),
        (
            "routing: {tasks: {coding: {models: [acme/x, nothing]}}}",
            'routing.tasks.coding.models[1]: "nothing" is no',
        ),
    ],
)
def test_names_in_routing_lead_somewhere(tmp_path: Path, line: str, problem: str) -> None:
    found = told(tmp_path, f"{PROVIDERS}{line}\n")
    assert (problem in found[0] and len(found) == 1) if problem else found == []


@pytest.mark.parametrize(
    ("groups", "problem"),
    [
        ("[acme/x, best/y]", ""),
        ("[[acme/x], [best/y, {to: best/z, weight: 2}]]", ""),
        ("{members: [acme/x]}", ""),
        ("[acme/x, bset/y]", '2:22 groups.g[1]: the provider "bset" is not configured. Did you mean "best"?'),
        ("[[acme/x], [{to: bset/y}]]", '2:30 groups.g[1][0].to: the provider "bset" is not configured.'),
        ("{members: [[bset/y]]}", '2:25 groups.g.members[0][0]: the provider "bset"'),
        ("[acme/x, [best/y]]", "2:13 groups.g: mixes members and tiers"),
        ("[acme/x, acme/x]", "2:22 groups.g[1]: is there twice"),
        ("[[acme/x], [{to: acme/x}]]", "groups.g[1][0].to: is there twice"),
    ],
)
def test_members_of_groups_are_models_of_configured_providers(tmp_path: Path, groups: str, problem: str) -> None:
    found = told(
        tmp_path, f"providers: {{acme: {{plugin: acme}}, best: {{plugin: acme}}}}\ngroups: {{g: {groups}}}\n"
    )
    assert (problem in found[0] and len(found) == 1) if problem else found == []


@pytest.mark.parametrize(
    ("aliases", "problems"),
    [
        ("{a: fast, b: a, c: acme/x, d: bare, e: auto, f: auto/plan}", []),
        ("{a: b, b: a}", ["aliases.a: goes round in a circle: a → b → a", "aliases.b: goes round in a circle"]),
        ("{a: a}", ["3:14 aliases.a: goes round in a circle: a → a"]),
        ("{a: b, b: c, c: b}", ["aliases.a: goes round", "aliases.b: goes", "aliases.c: goes"]),
        ("{a: fsat}", ['3:14 aliases.a: "fsat" is no group, alias or “provider/model”. Did you mean "fast"?']),
        ("{fast: acme/x}", ["3:11 aliases.fast: is the name of a group too"]),
    ],
)
def test_aliases_lead_somewhere(tmp_path: Path, aliases: str, problems: list[str]) -> None:
    providers = "providers: {acme: {plugin: acme, models: {bare: }}}\n"
    text = f"{providers}groups: {{fast: [acme/x]}}\naliases: {aliases}\n"
    found = told(tmp_path, text)
    assert len(found) == len(problems)
    assert all(problem in one for problem, one in zip(problems, found, strict=True)), found


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ("accounts: [{id: a}, {id: a}], terms: {multi_account: allowed}", "accounts[1].id: is there twice"),
        ("api_key: x, accounts: [{id: a}]", "1:34 providers.acme.api_key: is short for one account"),
        (
            "accounts: [{id: a}, {id: b}]",
            "1:34 providers.acme.accounts: 2 accounts, and whether the provider's terms allow that is unclear",
        ),
        ("accounts: [{id: a}, {id: b}], terms: {multi_account: forbidden}", "terms allow that is forbidden"),
        ("accounts: [{id: a}, {id: b}], terms: {multi_account: allowed}", ""),
        ("accounts: [{id: a}, {id: b, enabled: false}]", ""),
        ("enabled: false, accounts: [{id: a}, {id: b}]", ""),
        (
            "terms: {multi_account: allowed}, "
            "accounts: [{id: a, quota_group: p}, {id: b, quota_group: p}, {id: c}]",
            "",
        ),
        (
            "terms: {multi_account: allowed}, accounts: [{id: a, quota_group: p}, "
            "{id: b, quota_group: p, limits: [{requests: 1, per: day}]}]",
            'accounts[1].quota_group: shares its limits with "a", and the two have different `limits`',
        ),
        ('limits: [{usd: 1, per: day, reset: "00:00 America/Los_Angeles"}]', ""),
        (
            'limits: [{usd: 1, per: day, reset: "00:00 America/Los_Angels"}]',
            'limits[0].reset: "America/Los_Angels" is no time zone. Did you mean "America/Los_Angeles"?',
        ),
        (
            'accounts: [{id: a, limits: [{usd: 1, per: day, reset: "00:00 a/../../etc"}]}]',
            '"a/../../etc" is no time zone.',
        ),
    ],
)
def test_accounts_do_not_contradict_each_other(tmp_path: Path, entry: str, problem: str) -> None:
    found = told(tmp_path, f"providers: {{acme: {{plugin: acme, {entry}}}}}\n")
    assert (problem in found[0] and len(found) == 1) if problem else found == []


def test_clients_have_their_own_names_and_keys_and_the_hash_is_not_repeated(tmp_path: Path) -> None:
    text = f"""\
providers: {{acme: {{plugin: acme}}}}
server:
  keys:
    - {{name: a, hash: "{HASH}"}}
    - {{name: a, hash: "{HASH}", limits: [{{usd: 1, per: day, scope: account}}]}}
    - {{name: c, hash: "sha256:ABC"}}
"""
    found = told(tmp_path, text)
    assert [one.partition(" ")[2] for one in found] == [
        "server.keys[1].name: is there twice",
        "server.keys[1].hash: is there twice",
        "server.keys[1].limits[0].scope: is not for clients: it says what of a provider shares a limit",
        "server.keys[2].hash: must be “sha256:” and 64 hex digits in lower case",
    ]


def test_a_provider_cannot_be_named_auto(tmp_path: Path) -> None:
    assert (
        "1:13 providers.auto: cannot be a provider's name" in told(tmp_path, "providers: {auto: {plugin: acme}}")[0]
    )


@pytest.mark.parametrize(("host", "warned"), [("0.0.0.0", True), ("127.0.0.1", False), ("'::1'", False)])
def test_a_host_that_is_open_to_others_without_client_keys_is_a_warning(
    tmp_path: Path, host: str, warned: bool
) -> None:
    found = told(tmp_path, f"providers: {{acme: {{plugin: acme}}}}\nserver: {{host: {host}}}\n")
    assert ["everybody may spend" in one for one in found] == [True] * warned


def test_names_of_plugins_to_allow_are_looked_at(tmp_path: Path) -> None:
    class Entry:
        name, value, dist = "dashboard", "pages", None

    plugins = Plugins.discover(environ={}, entries=[Entry()])  # type: ignore[list-item]
    plugins.register(AcmePlugin(), "provider-acme")
    text = "providers: {acme: {plugin: acme}}\nplugins: {disable: [dashboard, dashbord, tokens]}\n"
    assert told(tmp_path, text, plugins=plugins) == [
        '2:32 plugins.disable[1]: no plugin "dashbord" is installed. Did you mean "dashboard"?',
        '2:42 plugins.disable[2]: no plugin "tokens" is installed.',
    ]


@pytest.mark.parametrize(
    "line",
    [
        "groups: 1",
        "groups: {g: {members: 1}}",
        "aliases: [1]",
        "routing: {tasks: 1}",
        "routing: {tasks: {a: {prefer: 1}}}",
        "server: {keys: [1]}",
        "server: {keys: [{name: a, hash: 1}, {name: 1, hash: 1}]}",
        "plugins: 1",
        "plugins: {allow: [1]}",
        "metrics: [1]",
    ],
)
def test_parts_the_schema_refuses_are_passed_over(tmp_path: Path, line: str) -> None:
    found = told(tmp_path, f"providers: {{acme: {{plugin: acme}}}}\n{line}\n")
    assert all("must be" in one for one in found), found
    assert found
