"""docs/reference/providers.md: every provider and profile, out of the plugins and of what was recorded."""

from __future__ import annotations

import asyncio
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from textwrap import fill
from typing import Any
from urllib.parse import urlsplit

from attrs import fields_dict, frozen

from llmrouter.errors import LLMRouterError
from llmrouter.plugins import Plugins
from llmrouter.protocols import ListsModels, ProviderType
from llmrouter.provider import (
    FAMILIES,
    AccountSettings,
    HTTPProvider,
    MockTransport,
    ProviderSettings,
    Request,
    Response,
    Secret,
)
from llmrouter.testing.context import FakeContext

from . import evidence
from .blocks import ROOT
from .markdown import GENERATED, cell, table

KEY = "the-key"
NONE, OWN = "–", "its own"
HEAD = f"""# Providers

{GENERATED}

One row for each plugin, and for each profile of a plugin that has several (`plugin: openai, profile: groq`).

- **speaks**: the wire formats of its models; a client's own is chosen where it is among them, and any other is
  translated.
- **key**: where it is sent, and the variable it is found in without a configuration.
- **limits**: whose headers are read to learn what is left. Whatever is said in refusals is read from everybody.
- **models**: where its models are listed ([how lists are used](../how-to/models.md)).
- **recorded**: how many real exchanges with this provider the tests have to replay, by endpoint.
- **not recorded**: what is spoken and was never recorded. It is tested with answers made after the provider's
  documentation: expect a deviation here before you expect one elsewhere.
"""
COLUMNS = ("plugin", "profile", "what it is", "speaks", "key", "limits", "models", "recorded", "not recorded")


@frozen
class Entry:
    """A provider as it comes, with nothing but a key."""

    type_: ProviderType
    profile: str = ""

    @property
    def name(self) -> str:
        return self.profile or self.type_.name

    @property
    def config(self) -> ProviderSettings:
        said: dict[str, Any] = {"name": "p", "plugin": self.type_.name}
        said["accounts"] = (AccountSettings(id="p", api_key=Secret(KEY)),)
        if self.profile:
            said["profile"] = self.profile
        try:
            made: ProviderSettings = self.type_.config(**said)
        except ValueError:  # it has no address of its own
            made = self.type_.config(**said, base_url="http://127.0.0.1:8000/v1")
        return made

    @property
    def dialects(self) -> Sequence[str]:
        endpoints = self.type_.endpoints(self.config)
        return list(dict.fromkeys(dialect for one in endpoints for dialect in one.dialects))


def entries(plugins: Plugins) -> Iterator[Entry]:
    for name in plugins.names("provider"):
        type_ = plugins.get("provider", name)
        assert isinstance(type_, ProviderType)
        files = sorted(ROOT.glob(f"plugins/provider-{name}/src/*/profiles/*.yaml"))
        profiles = [path.stem for path in files] if "profile" in fields_dict(type_.config) else []
        yield from (Entry(type_, profile) for profile in profiles or [""])


def page(plugins: Plugins) -> str:
    counts, variables = evidence.recorded(), found_in(plugins)
    rows = [_row(entry, counts, variables) for entry in entries(plugins)]
    return f"{HEAD}\n{table(COLUMNS, rows)}\n{_others(plugins, counts)}"


def found_in(plugins: Plugins) -> Mapping[tuple[str, str], Sequence[str]]:
    """By plugin and profile: the variables that make an entry of it, of those in the example of the environment."""
    found: dict[tuple[str, str], list[str]] = {}
    names = re.findall(r"^#?([A-Z][A-Z0-9_]+)=", (ROOT / ".env.example").read_text("utf-8"), re.MULTILINE)
    for type_ in plugins.all("provider"):
        assert isinstance(type_, ProviderType)
        for name in names:
            for one in type_.suggest({name: "http://127.0.0.1:1"}).values():
                found.setdefault((one["plugin"], one.get("profile", "")), []).append(name)
    return found


def _row(
    entry: Entry, counts: evidence.Counts, variables: Mapping[tuple[str, str], Sequence[str]]
) -> Sequence[str]:
    seen = look(entry)
    own = evidence.of(entry.name, entry.type_.name, counts)
    spoken = [name for dialect in entry.dialects for name in evidence.SURFACES.get(dialect, ())]
    spoken += [evidence.LISTS] if seen.lists not in (NONE, OWN) else []
    there = {name: own[name] for name in spoken if name in own}
    missing = [name for name in spoken if name not in own]
    return (
        f"`{entry.type_.name}`",
        f"`{entry.profile}`" if entry.profile else NONE,
        cell(_about(entry)),
        "<br>".join(f"`{one}`" for one in entry.dialects),
        "<br>".join([seen.auth, *(f"`{name}`" for name in variables.get((entry.type_.name, entry.profile), ()))]),
        seen.limits,
        seen.lists,
        "<br>".join(f"{name} {count:,}" for name, count in there.items()) or NONE,
        NONE if seen.lists == OWN else ", ".join(missing) or NONE,
    )


def _about(entry: Entry) -> str:
    """What the profile says of itself, else the plugin's own description."""
    if entry.profile:
        loaded: Any = getattr(entry.config, "loaded")  # noqa: B009 (not of every configuration)
        return str(loaded().about).rstrip(".")
    project = tomllib.loads(
        (ROOT / "plugins" / f"provider-{entry.type_.name}" / "pyproject.toml").read_text("utf-8")
    )
    return str(project["project"]["description"]).rstrip(".")


def _others(plugins: Plugins, counts: evidence.Counts) -> str:
    """Recordings of providers that have no profile: they go through `custom`."""
    known = {entry.name for entry in entries(plugins)}
    openai = ("chat.completions", "completions", "embeddings")
    rest = {
        name: sum(count for endpoint, count in evidence.of(name, "openai", counts).items() if endpoint in openai)
        for name in counts
        if name not in known
    }
    said = ", ".join(f"{name} {count:,}" for name, count in rest.items() if count)
    text = (
        "Any other server that speaks one of these formats is `plugin: openai` or `anthropic`, `profile: custom`, "
        f"with a `base_url`. Replayed that way are exchanges of {said}."
    )
    return fill(text, 116, break_on_hyphens=False, break_long_words=False) + "\n"


# --- looking at a provider


@frozen
class Look:
    """What a provider does with a key, whose headers it reads, and where it looks for models."""

    auth: str
    limits: str
    lists: str


def look(entry: Entry) -> Look:
    asked: list[Request] = []

    async def answer(request: Request) -> Response:
        asked.append(request)
        return Response(200, json={})

    async def main() -> Look:
        context = FakeContext("p", transport=MockTransport(answer))
        built: Any = entry.type_.build(entry.config, context)
        if isinstance(built, ListsModels):
            with suppress(LLMRouterError):  # an empty answer may be none to it
                await built.models("p")
        own = OWN if isinstance(built, ListsModels) and not isinstance(built, HTTPProvider) else NONE
        lists = f"`{urlsplit(str(asked[0].url)).path}`" if asked else own
        return Look(_auth(entry, built), _limits(built), lists)

    return asyncio.run(main())


def _auth(entry: Entry, provider: Any) -> str:
    said = provider.headers(entry.config.accounts[0]) if isinstance(provider, HTTPProvider) else {}
    names = [f"`{name}: {value.replace(KEY, '…')}`" for name, value in said.items() if KEY in value]
    return "<br>".join(names) or "as its README says"


def _limits(provider: Any) -> str:
    family = tuple(getattr(provider, "family", ()))
    return next((f"`{name}`" for name, one in FAMILIES.items() if family and family == one), NONE)
