"""What an entry of `providers` may say, and the endpoints that follow from it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

import yaml
from attrs import field, frozen

from llmrouter.provider import ProviderSettings, accounts_of, base_url_of, card_of
from llmrouter.types import ANY_MODEL, Card, Endpoint, Op, Price

DIALECTS = ("openai.embeddings", "rerank")


def _set(said: Any) -> frozenset[str]:
    return frozenset(said)


@frozen(kw_only=True)
class Words:
    """How an operation is asked for: fields under another name, and all that there are by their own names."""

    rename: Mapping[str, str]
    keep: frozenset[str] = field(converter=_set)


def _words(said: Any) -> Mapping[Op, Words]:
    return {op: Words(**words) for op, words in said.items()}


@frozen(kw_only=True)
class Known:
    """The data file: addresses, words, models."""

    about: str
    base_url: str
    atlas_url: str
    env: Sequence[str]
    request: Mapping[Op, Words] = field(converter=_words)
    models: Mapping[str, Mapping[str, Any]]

    def card(self, model: str) -> Card:
        """Nothing that it serves takes token ids."""
        known = self.models.get(model, {})
        price = known.get("price")
        return Card(
            abilities=frozenset(),
            window=known.get("context_window"),
            price=None if price is None else Price(input=price, output=0.0),
        )

    def dialects(self, model: str) -> tuple[str, ...]:
        """What is spoken for a model: one of the two, or both for one that nobody knows."""
        known = self.models.get(model)
        return DIALECTS if known is None else (known["dialect"],)


@frozen(kw_only=True)
class VoyageSettings(ProviderSettings):
    """Raises ValueError for an entry without a key, and for an address that is none."""

    def __attrs_post_init__(self) -> None:
        base_url_of(self.base_url or load().base_url)
        missing = [one.id for one in self.accounts if one.enabled and not one.api_key]
        if missing and self.enabled:
            raise ValueError(f"Voyage needs a key: set `api_key` ({', '.join(missing)})")


def load() -> Known:
    """The data file, read anew: nothing is kept between configurations."""
    return Known(**yaml.safe_load(_text("profiles/voyage.yaml")))


def schema() -> Mapping[str, Any]:
    """The keys of an entry, as JSON Schema."""
    fragment: Mapping[str, Any] = json.loads(_text("schema.json"))
    return fragment


def endpoints(config: ProviderSettings) -> Sequence[Endpoint]:
    """The known models and those of the configuration, and one endpoint for every other id."""
    known, accounts = load(), accounts_of(config)
    if not accounts:
        return []
    return [
        Endpoint(
            provider=config.name,
            model=model,
            dialects=known.dialects(model),
            accounts=accounts,
            card=card_of(known.card(model), config.models.get(model)),
        )
        for model in dict.fromkeys([*known.models, *config.models, ANY_MODEL])
    ]


def suggest(environ: Mapping[str, str]) -> Mapping[str, Any]:
    """An entry, where a key stands in the environment."""
    key = next((name for name in load().env if environ.get(name)), None)
    return {"voyage": {"plugin": "voyage", "api_key": f"${{{key}}}"}} if key else {}


def _text(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text("utf-8")
