"""What an entry of `providers` may say, and the endpoints that follow from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import field, frozen

from llmrouter.provider import ModelData, ProviderSettings, base_url_of, endpoints_of, read_data, require_keys
from llmrouter.types import Card, Endpoint, Op

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
class Model(ModelData):
    dialects: tuple[str, ...] = field(default=DIALECTS, converter=tuple)


def _models(said: Any) -> Mapping[str, Model]:
    return {name: Model(**one) for name, one in said.items()}


@frozen(kw_only=True)
class Known:
    """The data file: addresses, words, models."""

    about: str
    base_url: str
    atlas_url: str
    env: Sequence[str]
    request: Mapping[Op, Words] = field(converter=_words)
    models: Mapping[str, Model] = field(converter=_models)

    def card(self, model: str) -> Card:
        """Nothing that it serves takes token ids."""
        return self.models.get(model, Model()).card(abilities=frozenset())

    def dialects(self, model: str) -> tuple[str, ...]:
        """What is spoken for a model: one of the two, or both for one that nobody knows."""
        known = self.models.get(model)
        return known.dialects if known else DIALECTS


@frozen(kw_only=True)
class VoyageSettings(ProviderSettings):
    """Raises ValueError for an entry without a key, and for an address that is none."""

    def __attrs_post_init__(self) -> None:
        base_url_of(self.base_url or load().base_url)
        require_keys(self, "Voyage")


def load() -> Known:
    """The data file, read anew: nothing is kept between configurations."""
    return Known(**read_data(__package__, "profiles/voyage.yaml"))


def schema() -> Mapping[str, Any]:
    """The keys of an entry, as JSON Schema."""
    fragment: Mapping[str, Any] = read_data(__package__, "schema.json")
    return fragment


def endpoints(config: ProviderSettings) -> Sequence[Endpoint]:
    """The known models and those of the configuration, and one endpoint for every other id."""
    known = load()
    return endpoints_of(config, known.models, dialects=known.dialects, card=known.card)


def suggest(environ: Mapping[str, str]) -> Mapping[str, Any]:
    """An entry, where a key stands in the environment."""
    key = next((name for name in load().env if environ.get(name)), None)
    return {"voyage": {"plugin": "voyage", "api_key": f"${{{key}}}"}} if key else {}
