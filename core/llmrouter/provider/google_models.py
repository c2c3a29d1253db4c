"""Google's models as data: what is known of each, and what its generation wants said otherwise."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import yaml
from attrs import evolve, field, frozen

from llmrouter.dialects import Generation
from llmrouter.settings import ProviderSettings
from llmrouter.types import ANY_MODEL, Card, Endpoint, Price

from .endpoints import accounts_of, card_of

GENERATE, EMBED = "gemini.generate", "gemini.embed"


def _words(value: Any) -> frozenset[str] | None:
    return None if value is None else frozenset(value)


def _price(value: Any) -> Price | None:
    return None if value is None else Price(**value)


@frozen(kw_only=True)
class Model:
    """A model as the price list and the documentation describe it."""

    context_window: int | None = None  # tokens, input and output together
    max_output: int | None = None  # tokens
    price: Price | None = field(default=None, converter=_price)
    abilities: frozenset[str] | None = field(default=None, converter=_words)
    quality: float | None = None
    dialects: tuple[str, ...] = field(default=(GENERATE,), converter=tuple)

    def card(self) -> Card:
        card = Card(
            abilities=self.abilities,
            window=self.context_window,
            max_output=self.max_output,
            price=self.price,
            keeps=frozenset({GENERATE} & {*self.dialects}),
        )
        return card if self.quality is None else evolve(card, quality=self.quality)


@frozen
class Catalogue:
    """The models of one data file; generations are told by names."""

    models: Mapping[str, Model]
    generations: Sequence[tuple[re.Pattern[str], Generation]]  # the first whose pattern fits counts

    @classmethod
    def read(cls, text: str) -> Catalogue:
        data = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 (both are safe loaders)
        generations = [(re.compile(one.pop("match")), Generation(**one)) for one in data["generations"]]
        return cls({name: Model(**one) for name, one in data["models"].items()}, generations)

    def card(self, model: str) -> Card:
        known = self.models.get(model)
        return known.card() if known else Card(keeps=frozenset({GENERATE}))

    def dialects(self, model: str, spoken: Sequence[str]) -> tuple[str, ...]:
        """What is spoken for a model; of one that is not described, everything."""
        known = self.models.get(model)
        return tuple(one for one in spoken if known is None or one in known.dialects)

    def generation(self, model: str) -> Generation | None:
        """None where nothing is known: what was asked for is left to the vendor."""
        return next((found for pattern, found in self.generations if pattern.search(model)), None)

    def endpoints(self, config: ProviderSettings, spoken: Sequence[str]) -> Sequence[Endpoint]:
        """These models, those of the configuration, and one endpoint for every other id."""
        accounts = accounts_of(config)
        if not accounts:
            return []
        described = [name for name in self.models if self.dialects(name, spoken)]
        return [
            Endpoint(
                provider=config.name,
                model=model,
                dialects=self.dialects(model, spoken),
                accounts=accounts,
                card=card_of(self.card(model), config.models.get(model)),
            )
            for model in dict.fromkeys([*described, *config.models, ANY_MODEL])
        ]
