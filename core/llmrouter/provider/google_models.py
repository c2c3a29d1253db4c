"""Google's models as data: what is known of each, and what its generation wants said otherwise."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from attrs import field, frozen

from llmrouter.dialects import Generation
from llmrouter.settings import ProviderSettings
from llmrouter.types import Card, Endpoint

from .described import ModelData, read_data
from .endpoints import endpoints_of

GENERATE, EMBED = "gemini.generate", "gemini.embed"


@frozen(kw_only=True)
class Model(ModelData):
    dialects: tuple[str, ...] = field(default=(GENERATE,), converter=tuple)

    @property
    def kept(self) -> frozenset[str]:
        return frozenset({GENERATE} & {*self.dialects})


@frozen
class Catalogue:
    """The models of one data file; generations are told by names."""

    models: Mapping[str, Model]
    generations: Sequence[tuple[re.Pattern[str], Generation]]  # the first whose pattern fits counts

    @classmethod
    def read(cls, package: str | None, name: str = "models.yaml") -> Catalogue:
        """That of a package's data file."""
        return cls.of(read_data(package, name))

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Catalogue:
        generations = [(re.compile(one.pop("match")), Generation(**one)) for one in data["generations"]]
        return cls({name: Model(**one) for name, one in data["models"].items()}, generations)

    def card(self, model: str) -> Card:
        known = self.models.get(model)
        return known.card(keeps=known.kept) if known else Card(keeps=frozenset({GENERATE}))

    def dialects(self, model: str, spoken: Sequence[str]) -> tuple[str, ...]:
        """What is spoken for a model; of one that is not described, everything."""
        known = self.models.get(model)
        return tuple(one for one in spoken if known is None or one in known.dialects)

    def generation(self, model: str) -> Generation | None:
        """None where nothing is known: what was asked for is left to the vendor."""
        return next((found for pattern, found in self.generations if pattern.search(model)), None)

    def endpoints(self, config: ProviderSettings, spoken: Sequence[str]) -> Sequence[Endpoint]:
        """These models, those of the configuration, and one endpoint for every other id."""
        described = [name for name in self.models if self.dialects(name, spoken)]
        return endpoints_of(config, described, dialects=lambda model: self.dialects(model, spoken), card=self.card)
