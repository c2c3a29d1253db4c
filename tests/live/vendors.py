"""Vendors that can be asked, and the providers that ask them."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import yaml
from attrs import evolve, field, frozen

from llmrouter.dialects import builtin
from llmrouter.plugins import Plugins
from llmrouter.protocols import Dialect, Provider, ProviderType
from llmrouter.settings import AccountSettings, ProviderSettings, Secret
from llmrouter.testing.context import FakeContext
from llmrouter.types import ANY_MODEL, Endpoint, Op

ROOT = Path(__file__).parents[2]
STAND_IN = "no-key-is-needed-for-a-replay"
WRONG = "a-key-that-nobody-was-given"
EXAMS: Mapping[Op, Sequence[str]] = {
    "chat": ("chat", "stream", "tool"),
    "embed": ("embeddings",),
    "rerank": ("rerank",),
    "count": (),
}
"""What is asked of a vendor for each operation it has a model for."""


@frozen(kw_only=True)
class Vendor:
    name: str
    entry: Mapping[str, Any]
    env: str
    models: Mapping[Op, str]
    lists: bool = True  # its models
    key: str = field(default=STAND_IN, repr=False)

    @property
    def exams(self) -> Sequence[str]:
        asked = [exam for op in self.models for exam in EXAMS[op]]
        return [*asked, *(["models"] if self.lists else []), "bad_key"]

    @property
    def cassettes(self) -> Path:
        return ROOT / "plugins" / f"provider-{self.entry['plugin']}" / "tests" / "cassettes" / "live" / self.name

    @property
    def is_installed(self) -> bool:
        return self.entry["plugin"] in Plugins.discover().names("provider")

    @property
    def type(self) -> ProviderType:
        """Its plugin. Raises LLMRouterError where that is not installed."""
        found = Plugins.discover().get("provider", self.entry["plugin"])
        assert isinstance(found, ProviderType)
        return found

    @property
    def dialects(self) -> Mapping[str, Dialect]:
        return {one.name: one for one in (*builtin(), *self.type.dialects)}

    def settings(self, key: str = "") -> ProviderSettings:
        account = AccountSettings(id=self.name, api_key=Secret(key or self.key))
        config: ProviderSettings = self.type.config(name=self.name, accounts=(account,), **self.entry)
        return config

    @asynccontextmanager
    async def provider(self, context: FakeContext, key: str = "") -> AsyncIterator[Provider]:
        built: Any = self.type.build(self.settings(key), context)
        if not hasattr(built, "__aenter__"):
            yield built
            return
        async with built as provider:
            yield provider

    def endpoint(self, op: Op) -> Endpoint:
        """Its model for an operation."""
        endpoints = {one.model: one for one in self.type.endpoints(self.settings())}
        model = self.models[op]
        return endpoints.get(model) or evolve(endpoints[ANY_MODEL], model=model)

    def spoken(self, op: Op) -> Dialect:
        """The dialect in which its model for an operation is asked."""
        return next(self.dialects[name] for name in self.endpoint(op).dialects if op in self.dialects[name].ops)


def vendors() -> Sequence[Vendor]:
    """Those of the table, with the keys of the environment."""
    table = yaml.safe_load(Path(__file__).with_name("vendors.yaml").read_text("utf-8"))
    return [Vendor(name=name, key=os.environ.get(one["env"]) or STAND_IN, **one) for name, one in table.items()]
