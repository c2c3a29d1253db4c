"""Plugins of a run: one that speaks plainly to a scripted upstream, and some that break."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn

from attrs import define, frozen

from llmrouter.hookspecs import hookimpl
from llmrouter.protocols import BuildContext, ProviderType, QuotaStoreType
from llmrouter.provider import HTTPProvider, endpoints_of
from llmrouter.settings import ProviderSettings
from llmrouter.types import Ask, Bucket, Call, Card, Endpoint, Sighting, Verdict

NAME = "chaos"
PLAIN, RAISES, RAISES_IN_JUDGE, DOWN = "chaos", "chaos-raises", "chaos-raises-in-judge", "chaos-down"
"""The plugins, by the name that stands in settings."""

_NOTHING: Mapping[str, Any] = {"type": "object", "properties": {}}


@frozen(kw_only=True)
class NoConfig:
    """Nothing to be set."""


class Plain(HTTPProvider):
    """Speaks OpenAI's chat and has no habits: what stands in for what cannot be pointed elsewhere."""

    def __init__(self, settings: ProviderSettings, context: BuildContext) -> None:
        paths = {"openai.chat": "/v1/chat/completions"}
        super().__init__(settings, context, base_url=settings.base_url or "", paths=paths)


class Raises(Plain):
    """Has a bug on the way out."""

    async def send(self, call: Call) -> NoReturn:
        raise KeyError("a slip of the plugin")


class RaisesInJudge(Plain):
    """Has a bug on the way back, where it looks at what it was sent."""

    def judge(self, status: int, headers: Mapping[str, str], body: bytes) -> Verdict:
        raise KeyError("a slip of the plugin")


@define(eq=False)
class Down:
    """A quota store that nobody can reach."""

    async def grant(self, asks: Sequence[Ask]) -> NoReturn:
        raise ConnectionError("the store is down")

    async def settle(self, spent: Mapping[Bucket, float], unspent: Mapping[Bucket, float]) -> None:
        raise ConnectionError("the store is down")

    async def correct(self, sightings: Sequence[Sighting]) -> None:
        raise ConnectionError("the store is down")

    async def usage(self, buckets: Sequence[Bucket]) -> NoReturn:
        raise ConnectionError("the store is down")


def endpoints(settings: ProviderSettings) -> Sequence[Endpoint]:
    return endpoints_of(settings, (), dialects=lambda model: ("openai.chat",), card=lambda model: Card())


@hookimpl
def llmrouter_register_providers() -> Iterable[ProviderType]:
    return [
        ProviderType(name=name, config=ProviderSettings, schema=_NOTHING, build=build, endpoints=endpoints)
        for name, build in ((PLAIN, Plain), (RAISES, Raises), (RAISES_IN_JUDGE, RaisesInJudge))
    ]


@hookimpl
def llmrouter_register_quota_stores() -> Iterable[QuotaStoreType]:
    return [QuotaStoreType(name=DOWN, config=NoConfig, schema=_NOTHING, build=lambda config, context: Down())]
