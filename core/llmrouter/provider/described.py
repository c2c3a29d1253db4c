"""Data files of a provider's package → what is known of its models, and how its errors are read."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from typing import Any

import yaml
from attrs import evolve, field, frozen

from llmrouter.types import Card, Price, Tier

from .refusals import ErrorRule

YAML = ".yaml"


def read_data(package: str | None, name: str) -> Any:
    """A data file of a package, JSON or YAML by its name: `read_data(__package__, "schema.json")`."""
    text = resources.files(package or "").joinpath(name).read_text("utf-8")
    return read_yaml(text) if name.endswith(YAML) else json.loads(text)


def read_yaml(text: str) -> Any:
    return yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 (both are safe loaders)


def names_in(package: str | None, folder: str) -> Sequence[str]:
    """The YAML files of a folder of a package, by their names without the ending."""
    found = [one.name for one in (resources.files(package or "") / folder).iterdir()]
    return sorted(one.removesuffix(YAML) for one in found if one.endswith(YAML))


def check_profile(name: str, known: Sequence[str], more: str = "") -> None:
    """Raises ValueError for a profile that is not there, with the one that may have been meant."""
    if name in known:
        return
    close = difflib.get_close_matches(name, known, 1)
    hint = f"Did you mean {close[0]!r}?" if close else f"There are: {', '.join(known)}{more}"
    raise ValueError(f"there is no profile {name!r}. {hint}")


def words_of(value: Iterable[str] | None) -> frozenset[str] | None:
    """None stays None: nobody knows."""
    return None if value is None else frozenset(value)


def price_of(value: Mapping[str, Any] | None) -> Price | None:
    """A price as data files and the configuration write it, in USD per million tokens."""
    if value is None:
        return None
    return Price(**{**value, "tiers": tuple(Tier(**one) for one in value.get("tiers", ()))})


def rule_of(value: Mapping[str, Any]) -> ErrorRule:
    """`{class, scope, status, code, type, text}`; one value stands for a list of one. Raises ValueError."""
    text = value.get("text")
    try:
        pattern = re.compile(text, re.IGNORECASE) if text else None
    except re.error as error:
        raise ValueError(f"the expression {text!r} in a profile: {error}") from error
    return ErrorRule(
        kind=value["class"],
        scope=value.get("scope"),
        status=frozenset(_several(value.get("status"))),
        code=frozenset(map(str, _several(value.get("code")))),
        type=frozenset(_several(value.get("type"))),
        text=pattern,
    )


def rules_of(value: Iterable[Mapping[str, Any]]) -> tuple[ErrorRule, ...]:
    return tuple([rule_of(one) for one in value])


@frozen(kw_only=True)
class ModelData:
    """A model as its vendor's price list and documentation describe it; what is not said, nobody knows."""

    context_window: int | None = None  # tokens, input and output together
    max_output: int | None = None  # tokens
    price: Price | None = field(default=None, converter=price_of)
    abilities: frozenset[str] | None = field(default=None, converter=words_of)
    quality: float | None = None  # 0…1

    def card(self, abilities: frozenset[str] | None = None, keeps: frozenset[str] = frozenset()) -> Card:
        """`abilities` are those of its family, where it does not say its own."""
        card = Card(
            abilities=abilities if self.abilities is None else self.abilities,
            window=self.context_window,
            max_output=self.max_output,
            price=self.price,
            keeps=keeps,
        )
        return card if self.quality is None else evolve(card, quality=self.quality)


def _several(value: Any) -> Sequence[Any]:
    if value is None:
        return ()
    return value if isinstance(value, list) else (value,)
