from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from llmrouter.catalogue.names import Names
from llmrouter.errors import InvalidRequest
from llmrouter.plugins import Plugins
from tests.configs import AcmePlugin, any_model, listed, loaded, told

PROVIDERS = """\
providers:
  echo: {plugin: strict, models: {small: , large: }}
  open: {plugin: acme, models: {named: }}
  off: {plugin: acme, enabled: false, models: {old: }}
groups: {g: [echo/small]}
"""
NOSUCH = "is a model that the provider does not serve."


def plugins() -> Plugins:
    found = Plugins()
    found.register(AcmePlugin("strict", endpoints=listed), "provider-strict")
    found.register(AcmePlugin(), "provider-acme")
    return found


CASES = [
    ("aliases: {a: echo/small, b: open/anything, c: small, d: g, e: a, f: open/a/b}", ""),
    (
        "aliases: {a: auto, b: auto/best, c: auto/plan, d: auto/mine}\nrouting: {tasks: {mine: {prefer: [echo]}}}",
        "",
    ),
    ("aliases: {a: echo/smal}", f'6:14 aliases.a: "echo/smal" {NOSUCH} Did you mean "echo/small"?'),
    ("aliases: {b: a, a: echo/zzz}", f'6:20 aliases.a: "echo/zzz" {NOSUCH}'),
    ("aliases: {a: open/}", f'6:14 aliases.a: "open/" {NOSUCH}'),
    ("aliases: {a: off/old}", '6:14 aliases.a: "off/old" is of a provider that is not enabled (off)'),
    ("aliases: {a: old}", '6:14 aliases.a: "old" is a model that no enabled provider serves.'),
    (
        "aliases: {a: auto/minee}\nrouting: {tasks: {mine: {}}}",
        '6:14 aliases.a: "auto/minee" asks for a task that is not there. Did you mean "auto/mine"?',
    ),
    ("routing: {default: large}", ""),
    ("routing: {default: g}", ""),
    ("routing: {default: echo/nosuch}", f'6:20 routing.default: "echo/nosuch" {NOSUCH}'),
    ("routing: {default: off/x}", '6:20 routing.default: "off/x" is of a provider that is not enabled (off)'),
    ("aliases: {a: auto}\nrouting: {default: a}", '7:20 routing.default: "a" leads back to “auto”'),
    ("aliases: {a: echo/large}\nrouting: {tasks: {t: {models: [a, open/x]}}}", ""),
    (
        "routing: {tasks: {t: {models: [echo/small, echo/larg]}}}",
        f'6:44 routing.tasks.t.models[1]: "echo/larg" {NOSUCH} Did you mean "echo/large"?',
    ),
]


@pytest.mark.parametrize(("lines", "problem"), CASES)
def test_names_lead_to_models_that_are_served(tmp_path: Path, lines: str, problem: str) -> None:
    found = told(tmp_path, f"{PROVIDERS}{lines}\n", plugins=plugins())
    assert (len(found) == 1 and found[0].startswith(problem)) if problem else found == []


@pytest.mark.parametrize("lines", [lines for lines, problem in CASES if not problem])
def test_what_passes_can_be_served(tmp_path: Path, lines: str) -> None:
    found = loaded(tmp_path, f"{PROVIDERS}{lines}\n", plugins=plugins()).settings
    strict, free = found.providers["echo"], found.providers["open"]
    endpoints = {one.id: one for one in (*listed(strict), *any_model(free))}
    names = Names(endpoints, found.groups, found.aliases, found.routing)
    assert all(names.expand(alias).tiers for alias in found.aliases)
    with pytest.raises(InvalidRequest):
        names.expand("echo/nosuch")


@pytest.mark.parametrize(
    ("group", "place"),
    [
        ("[echo/nosuch]", "2:17 groups.fast[0]:"),
        ("[[echo/small], [{to: echo/nosuch}]]", "2:37 groups.fast[1][0].to:"),
        ("{members: [echo/small, echo/nosuch]}", "2:39 groups.fast.members[1]:"),
    ],
)
def test_members_of_groups_are_models_that_are_served(tmp_path: Path, group: str, place: str) -> None:
    text = f"providers: {{echo: {{plugin: strict, models: {{small: }}}}}}\ngroups: {{fast: {group}}}\n"
    assert told(tmp_path, text, plugins=plugins()) == [f'{place} "echo/nosuch" {NOSUCH}']


def test_an_alias_may_be_a_member_of_a_group(tmp_path: Path) -> None:
    text = f"{PROVIDERS}  # more\naliases: {{my/small: echo/small}}\n".replace("[echo/small]", "[my/small]")
    assert told(tmp_path, text, plugins=plugins()) == []


def test_of_a_provider_whose_plugin_is_missing_nothing_is_known(tmp_path: Path) -> None:
    text = (
        "providers: {echo: {plugin: strict}, far: {plugin: far-away, models: {one: }}}\n"
        "groups: {g: [far/x]}\naliases: {a: one, b: echo/x}\n"
    )
    found = told(tmp_path, text, plugins=plugins())
    assert [one.partition(": ")[0] for one in found] == ["1:51 providers.far.plugin", "3:22 aliases.b"]


def test_what_a_variable_gives_is_not_repeated_and_a_missing_one_is_not_judged(tmp_path: Path) -> None:
    text = "providers: {echo: {plugin: strict}}\ngroups: {g: ['echo/${MODEL}']}\n"
    found = told(tmp_path, text, {"MODEL": "hidden-away"}, plugins=plugins())
    assert found == [f"2:14 groups.g[0]: what ${{MODEL}} gives {NOSUCH}"]
    found = told(tmp_path, text, plugins=plugins(), require_variables=False)
    assert found == ["2:14 groups.g[0]: the variable MODEL is not set: set it, or write ${MODEL:-default}"]


def refusing(config: Any) -> Any:
    raise ValueError("base_url must be another")


def test_a_plugin_that_refuses_its_entry_is_told_with_its_place(tmp_path: Path) -> None:
    found = Plugins()
    found.register(AcmePlugin(endpoints=refusing), "provider-acme")
    text = "providers: {acme: {plugin: acme, region: '${REGION}'}}\ngroups: {g: [acme/x]}\n"
    assert told(tmp_path, text, {"REGION": "x"}, plugins=found) == ["1:19 providers.acme: base_url must be another"]
    without = told(tmp_path, text, plugins=found, require_variables=False)
    assert len(without) == 1
    assert "REGION is not set" in without[0]
