"""What an entry of `providers` may say, and the endpoints that follow from it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from attrs import frozen

from llmrouter.settings import ModelSettings, ProviderSettings, Secret
from llmrouter.types import Account, Card, Endpoint, Price

DIALECTS = ("openai.chat", "openai.completions", "openai.embeddings")
GRATIS = Price(input=0.0, output=0.0)

_NAMED = {"minute": 60.0, "hour": 3600.0, "day": 86400.0, "month": 30 * 86400.0}
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}

Fault = Literal[
    400, 401, 402, 403, 404, 413, 429, 500, 502, 503, 504, 529, "connect", "hang", "stall", "cut", "error"
]


@frozen(kw_only=True)
class EchoQuota:
    """So many requests of a quota group to a model, in a window that its first request opens."""

    requests: int
    per: str

    @property
    def seconds(self) -> float:
        return _NAMED.get(self.per) or float(self.per[:-1]) * _UNITS[self.per[-1]]


@frozen(kw_only=True)
class EchoSettings(ProviderSettings):
    """How quick, how reliable and how generous the upstream is. Times in seconds."""

    latency: float = 0.0
    token_delay: float = 0.0
    tokens_per_second: float | None = None
    failure_rate: float = 0.0
    failure: Fault = 500
    retry_after: float | None = None
    quota: EchoQuota | None = None
    accepted_keys: tuple[Secret, ...] = ()
    price: Price | None = None

    @property
    def pace(self) -> float:
        """Seconds from one token to the next."""
        if self.tokens_per_second and not self.token_delay:
            return 1 / self.tokens_per_second
        return self.token_delay


def endpoints(config: EchoSettings) -> Sequence[Endpoint]:
    """Every configured model; without any, those of `models.json`."""
    known = read("models.json")
    accounts = _accounts(config)
    return [
        Endpoint(
            provider=config.name,
            model=model,
            dialects=tuple(known.get(model, {}).get("dialects", DIALECTS)),
            accounts=accounts,
            card=_card(config, config.models.get(model) or ModelSettings(), known.get(model, {})),
        )
        for model in config.models or known
    ]


def _accounts(config: EchoSettings) -> tuple[Account, ...]:
    if not config.accounts:
        return (Account(config.name, config.name),)
    return tuple(
        Account(one.id, one.quota_group or f"{config.name}/{one.id}", one.weight)
        for one in config.accounts
        if one.enabled
    )


def _card(config: EchoSettings, said: ModelSettings, known: Mapping[str, Any]) -> Card:
    """What the configuration says of a model goes before what this plugin knows."""
    return Card(
        abilities=said.abilities,
        window=known.get("context_window") if said.context_window is None else said.context_window,
        max_output=known.get("max_output") if said.max_output is None else said.max_output,
        price=said.price or config.price or GRATIS,
        quality=known.get("quality", 0.5) if said.quality is None else said.quality,
    )


def read(name: str) -> Any:
    """A data file of this package."""
    return json.loads(Path(__file__).with_name(name).read_text("utf-8"))
