"""A profile: how one server of the Messages API differs from Anthropic's, as data."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from typing import Any, Literal

import yaml
from attrs import field, frozen

from llmrouter.provider import ErrorRule
from llmrouter.types import Card, Op, Price, Tier

DIALECT = "anthropic.messages"
Auth = Literal["x-api-key", "bearer"]
Words = frozenset[str]

_DATED = re.compile(r"[-@]\d{8}$")
"""A model's id may end in the day it was made; an id without one means the latest."""


def _words(value: Iterable[str] | None) -> Words | None:
    return None if value is None else frozenset(value)


def _price(value: Mapping[str, Any] | None) -> Price | None:
    if value is None:
        return None
    return Price(**{**value, "tiers": tuple(Tier(**one) for one in value.get("tiers", ()))})


def _models(value: Mapping[str, Any]) -> Mapping[str, Model]:
    return {name: Model(**one) for name, one in value.items()}


def _rules(value: Iterable[Mapping[str, Any]]) -> tuple[ErrorRule, ...]:
    return tuple(_rule(one) for one in value)


@frozen(kw_only=True)
class Model:
    """A model as its vendor's price list and documentation describe it."""

    context_window: int | None = None  # tokens, input and output together
    max_output: int | None = None  # tokens
    price: Price | None = field(default=None, converter=_price)
    abilities: Words | None = field(default=None, converter=_words)
    thinking: Words | None = field(default=None, converter=_words)  # enabled, adaptive; None: nobody knows
    efforts: tuple[str, ...] = field(default=(), converter=tuple)  # from the least to the most
    sampling: bool = True  # whether temperature, top_p and top_k are taken


@frozen(kw_only=True)
class Profile:
    """One server."""

    about: str
    base_url: str | None = None  # None: an entry has to say its own
    keyless: bool = False  # whether it may be called without a key
    env: tuple[str, ...] = field(
        default=(), converter=tuple
    )  # variables that usually hold its key, first one first
    auth: Auth = "x-api-key"
    headers: Mapping[str, str] = field(factory=dict)
    betas: bool = False  # whether it knows Anthropic's beta features, so that clients may name them
    transparent: bool = False  # whether it answers one client program alone, whose headers go on as they are
    counts: bool = False  # whether it has `/messages/count_tokens`
    query: str = ""  # of every address
    models_path: str | None = None  # where its models are listed; None: nowhere
    limit_headers: str = "none"
    keeps: bool = True  # whether thoughts are signed, and wanted back
    errors: tuple[ErrorRule, ...] = field(default=(), converter=_rules)
    abilities: Words | None = field(default=None, converter=_words)  # of the models listed here
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
        return Card(
            abilities=self.abilities if known.abilities is None else known.abilities,
            window=known.context_window,
            max_output=known.max_output,
            price=known.price,
            keeps=self.kept,
        )


def names() -> Sequence[str]:
    """The profiles that come with this plugin."""
    folder = resources.files(__package__) / "profiles"
    return sorted(one.name.removesuffix(".yaml") for one in folder.iterdir() if one.name.endswith(".yaml"))


def load(name: str) -> Profile:
    """A profile by name. Raises ValueError for one that is not there."""
    if name not in names():
        close = difflib.get_close_matches(name, names(), 1)
        hint = f"Did you mean {close[0]!r}?" if close else f"There are: {', '.join(names())}"
        raise ValueError(f"there is no profile {name!r}. {hint}")
    profile = read(f"profiles/{name}.yaml")
    return Profile(**{**profile, "errors": [*profile.get("errors", ()), *read("errors.yaml")]})


def read(name: str) -> Any:
    """A data file of this package."""
    text = resources.files(__package__).joinpath(name).read_text("utf-8")
    return yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 (both are safe loaders)


def _rule(rule: Mapping[str, Any]) -> ErrorRule:
    text = rule.get("text")
    return ErrorRule(
        kind=rule["class"],
        scope=rule.get("scope"),
        status=frozenset(_several(rule.get("status"))),
        code=frozenset(_several(rule.get("code"))),
        type=frozenset(_several(rule.get("type"))),
        text=re.compile(text, re.IGNORECASE) if text else None,
    )


def _several(value: Any) -> Sequence[Any]:
    if value is None:
        return ()
    return value if isinstance(value, list) else (value,)
