"""From settings to endpoints: accounts, keys, cards, and the address of an upstream."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from urllib.parse import urlsplit

from attrs import evolve

from llmrouter.settings import ModelSettings, ProviderSettings
from llmrouter.types import ANY_MODEL, Account, Card, Endpoint, Op

_VERSION = re.compile(r"v\d+(?:(?:alpha|beta)\d*)?")
_OPERATIONS = re.compile(r"/(?:chat/completions|completions|embeddings|responses|messages|models)$")


def accounts_of(settings: ProviderSettings) -> tuple[Account, ...]:
    """The accounts that may be called. Without a quota group each is one of its own, in no other provider."""
    return tuple(
        Account(
            one.id,
            one.quota_group or (one.id if one.id == settings.name else f"{settings.name}/{one.id}"),
            one.weight,
        )
        for one in settings.accounts
        if one.enabled
    )


def card_of(known: Card, said: ModelSettings | None) -> Card:
    """What is known of a model, under what the configuration says of it."""
    if said is None:
        return known
    return evolve(
        known,
        abilities=known.abilities if said.abilities is None else said.abilities,
        window=said.context_window or known.window,
        max_output=said.max_output or known.max_output,
        price=said.price or known.price,
        quality=known.quality if said.quality is None else said.quality,
    )


def endpoints_of(
    settings: ProviderSettings,
    described: Iterable[str],
    *,
    dialects: Callable[[str], tuple[str, ...]],
    card: Callable[[str], Card],
    ops: frozenset[Op] | None = None,
) -> Sequence[Endpoint]:
    """The models that are described, those of the configuration, and one endpoint for every other id.

    `dialects` and `card` say what is spoken for a model and what is known of it; `ops` is as in `Endpoint`.
    """
    accounts = accounts_of(settings)
    if not accounts:
        return []
    return [
        Endpoint(
            provider=settings.name,
            model=model,
            dialects=dialects(model),
            accounts=accounts,
            card=card_of(card(model), settings.models.get(model)),
            ops=ops,
        )
        for model in dict.fromkeys([*described, *settings.models, ANY_MODEL])
    ]


def require_keys(settings: ProviderSettings, who: str) -> None:
    """Raises ValueError, naming the accounts, where one that may be called has no key."""
    missing = [one.id for one in settings.accounts if one.enabled and not one.api_key]
    if missing and settings.enabled:
        raise ValueError(f"{who} needs a key: set `api_key` ({', '.join(missing)})")


def base_url_of(text: str, version: str | None = "v1") -> str:
    """An address to append paths to: without a slash or an operation at its end, with a version segment.

    `version` is added where no segment looks like one ("v4", "v1beta"); None adds nothing.
    Raises ValueError for what is no address of an upstream.
    """
    parts = urlsplit(text.strip())
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("base_url must be an address such as https://api.example.com/v1")
    if parts.query or parts.fragment or parts.username is not None or parts.password is not None:
        raise ValueError("base_url must have no user, query or fragment: keys belong into `api_key`")
    path = _OPERATIONS.sub("", parts.path.rstrip("/")).rstrip("/")
    if version and not any(_VERSION.fullmatch(segment) for segment in path.split("/")):
        path += f"/{version}"
    return f"{parts.scheme}://{parts.netloc}{path}"
