"""A provider plugin whose lists a test writes, and routers with it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from attrs import define, field

from llmrouter import ProviderType, builtin, hookimpl
from llmrouter.config import load
from llmrouter.plugins import Plugins
from llmrouter.protocols import BuildContext
from llmrouter.provider import ProviderSettings, accounts_of, card_of
from llmrouter.router import Router
from llmrouter.types import ANY_MODEL, Card, Endpoint, Price
from tests.house import Answer, Upstream, plain

SHEETS = Path(__file__).parents[2] / "shared" / "data" / "prices"
OLDER, NEWER = SHEETS / "openrouter_models_modelsdev_2026-05.json", SHEETS / "openrouter_models_rig_2026-08.json"
ANYTHING = {"type": "object", "additionalProperties": True}
Said = Sequence[Endpoint] | Exception | Any


def model(name: str, provider: str = "many", **card: Any) -> Endpoint:
    return Endpoint(provider=provider, model=name, dialects=("openai.chat",), accounts=(), card=Card(**card))


@define(eq=False)
class Lister(Upstream):
    """An upstream that lists what it is told to, or raises it; `asked` are the accounts that it was asked by."""

    answers: Sequence[Any] = field(factory=lambda: [Answer(plain("hello"))])
    lists: Mapping[str, Said] = field(factory=dict)  # by account; "" is for all others
    asked: list[str] = field(factory=list)
    wait: float = 0.0

    async def models(self, account: str) -> Sequence[Endpoint]:
        self.asked.append(account)
        if self.wait:
            await asyncio.sleep(self.wait)
        said = self.lists.get(account, self.lists.get("", ()))
        if isinstance(said, Exception):
            raise said
        return said


class Market:
    """The plugin `market`: every provider of it is the same lister, and serves any model."""

    def __init__(self, *listed: Endpoint, **more: Any) -> None:
        self.lister = Lister(lists={"": list(listed)}, **more)

    def say(self, *listed: Endpoint) -> None:
        self.lister.lists = {"": list(listed)}

    @hookimpl
    def llmrouter_register_providers(self) -> Iterable[ProviderType]:
        def build(config: ProviderSettings, context: BuildContext) -> Lister:
            return self.lister

        return [
            ProviderType(name="market", config=ProviderSettings, schema=ANYTHING, build=build, endpoints=endpoints)
        ]


def endpoints(config: ProviderSettings) -> list[Endpoint]:
    return [
        Endpoint(
            provider=config.name,
            model=name,
            dialects=("openai.chat",),
            accounts=accounts_of(config),
            card=card_of(Card(), config.models.get(name)),
        )
        for name in (*config.models, ANY_MODEL)
    ]


CONFIG = """
providers:
  many: {plugin: market, api_key: k}
catalogue: {refresh: 10m}
"""


@asynccontextmanager
async def opened(market: Market, folder: Path, text: str = CONFIG) -> AsyncIterator[Router]:
    file = folder / "llmrouter.yaml"
    file.write_text(text)
    plugins = Plugins()
    plugins.register(market, "market")
    loaded = load(file, {}, plugins=plugins, builtins=[(builtin, builtin.NAME)], require_plugins=True)
    clock = asyncio.get_running_loop().time
    async with Router.open(loaded.settings, loaded.plugins, clock=clock, seed=1, state=folder) as router:
        yield router


def recorded(path: Path) -> list[Endpoint]:
    """A recorded list of OpenRouter: prices in USD per token, as text."""
    return [_recorded(one) for one in json.loads(path.read_text("utf-8"))["data"]]


def _recorded(one: Mapping[str, Any]) -> Endpoint:
    price = {name: float(value) * 1e6 for name, value in one["pricing"].items() if isinstance(value, str)}
    abilities = {"tools"} & {*one["supported_parameters"]} | {"vision"} & {
        "vision" if kind == "image" else kind for kind in one["architecture"]["input_modalities"]
    }
    return model(
        one["id"],
        window=one["context_length"],
        max_output=one["top_provider"]["max_completion_tokens"],
        price=Price(input=price["prompt"], output=price["completion"]) if price["prompt"] >= 0 else None,
        abilities=frozenset(abilities),
    )
