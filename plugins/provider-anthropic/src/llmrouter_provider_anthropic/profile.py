"""A profile: how one server of the Messages API differs from Anthropic's, as data."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from attrs import field, frozen

from llmrouter.provider import ErrorRule, ModelData, check_profile, names_in, read_data, rules_of, words_of
from llmrouter.types import Card, Op

DIALECT = "anthropic.messages"
Auth = Literal["x-api-key", "bearer"]
Words = frozenset[str]

_DATED = re.compile(r"[-@]\d{8}$")
"""A model's id may end in the day it was made; an id without one means the latest."""


def _models(value: Mapping[str, Any]) -> Mapping[str, Model]:
    return {name: Model(**one) for name, one in value.items()}


@frozen(kw_only=True)
class Model(ModelData):
    thinking: Words | None = field(default=None, converter=words_of)  # enabled, adaptive; None: nobody knows
    efforts: tuple[str, ...] = field(default=(), converter=tuple)  # from the least to the most
    sampling: bool = True  # whether temperature, top_p and top_k are taken


@frozen(kw_only=True)
class Profile:
    """One server."""

    about: str
    base_url: str | None = None  # None: an entry has to say its own
    keyless: bool = False  # whether it may be called without a key
    env: tuple[str, ...] = field(default=(), converter=tuple)  # variables that hold its key, best first
    auth: Auth = "x-api-key"
    headers: Mapping[str, str] = field(factory=dict)
    betas: bool = False  # whether it knows Anthropic's beta features, so that clients may name them
    transparent: bool = False  # whether it answers one client program alone, whose headers go on as they are
    counts: bool = False  # whether it has `/messages/count_tokens`
    query: str = ""  # of every address
    models_path: str | None = None  # where its models are listed; None: nowhere
    limit_headers: str = "none"
    keeps: bool = True  # whether thoughts are signed, and wanted back
    errors: tuple[ErrorRule, ...] = field(default=(), converter=rules_of)
    abilities: Words | None = field(default=None, converter=words_of)  # of the models listed here
    models: Mapping[str, Model] = field(default={}, converter=_models)

    @property
    def kept(self) -> frozenset[str]:
        return frozenset({DIALECT} if self.keeps else ())

    @property
    def ops(self) -> frozenset[Op]:
        return frozenset({"chat", "count"} if self.counts else {"chat"})

    def model(self, id: str) -> Model | None:
        """What is known of a model, or of the one that this is an edition of."""
        return self.models.get(id) or self.models.get(_DATED.sub("", id))

    def card(self, id: str) -> Card:
        known = self.model(id)
        if known is None:  # a model that the profile does not list may do more than those it lists
            return Card(keeps=self.kept)
        return known.card(self.abilities, self.kept)


def names() -> Sequence[str]:
    """The profiles that come with this plugin."""
    return names_in(__package__, "profiles")


def load(name: str) -> Profile:
    """A profile by name. Raises ValueError for one that is not there."""
    check_profile(name, names())
    profile, errors = read_data(__package__, f"profiles/{name}.yaml"), read_data(__package__, "errors.yaml")
    return Profile(**{**profile, "errors": [*profile.get("errors", ()), *errors]})
