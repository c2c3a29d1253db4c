"""What the configuration says and what providers list, put together: the configuration wins."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping

from attrs import Factory, evolve, fields, frozen

from llmrouter.provider import accounts_of, card_of
from llmrouter.settings import ProviderSettings
from llmrouter.types import Card, Endpoint

from .lists import Listed, Listing, Listings

_OURS = frozenset(one.name for one in fields(ProviderSettings)) - {"plugin", "base_url"}


@frozen(kw_only=True)
class Joined:
    """Endpoints by id: those of the configuration, and those that are only listed.

    `gone` are ids of either that were listed and are no longer. They are offered no more, and served to
    whoever names them: a list may err, and it is the upstream that knows.
    """

    endpoints: Mapping[str, Endpoint]
    discovered: Mapping[str, Endpoint] = Factory(dict)
    gone: frozenset[str] = frozenset()


def upstream(entry: ProviderSettings) -> str:
    """A short hash of what makes a provider's upstream this one: its plugin, its address, the plugin's own keys."""
    said = [
        (one.name, getattr(entry, one.name)) for one in fields(type(entry)) if one.repr and one.name not in _OURS
    ]
    return hashlib.sha256(repr(said).encode()).hexdigest()[:12]


def join(
    endpoints: Mapping[str, Endpoint], providers: Mapping[str, ProviderSettings], listings: Listings
) -> Joined:
    """The endpoints of a configuration, with what is listed for its own providers."""
    known, discovered, gone = dict(endpoints), {}, set()
    for entry, one in _listed(providers, listings):
        id = f"{entry.name}/{one.model}"
        if id in endpoints:
            known[id] = _known(endpoints[id], one, entry)
        elif accounts := accounts_of(entry):
            discovered[id] = Endpoint(
                provider=entry.name,
                model=one.model,
                dialects=one.dialects,
                accounts=accounts,
                card=card_of(one.card, entry.models.get(one.model)),
                ops=one.ops,
            )
        if one.gone is not None:
            gone.add(id)
    return Joined(endpoints=known, discovered=discovered, gone=frozenset(gone))


def fitting(listings: Listings, providers: Mapping[str, ProviderSettings]) -> Mapping[str, Listing]:
    """The lists that are of this configuration's upstreams."""
    return {
        name: listings[name]
        for name, entry in providers.items()
        if entry.enabled and name in listings and listings[name].of == upstream(entry)
    }


def _listed(
    providers: Mapping[str, ProviderSettings], listings: Listings
) -> Iterator[tuple[ProviderSettings, Listed]]:
    for name, listing in fitting(listings, providers).items():
        yield from ((providers[name], one) for one in listing.models)


def _known(endpoint: Endpoint, one: Listed, entry: ProviderSettings) -> Endpoint:
    """An endpoint of the configuration: what nobody knew of it is taken from the list."""
    card = card_of(_under(one.card, endpoint.card), entry.models.get(one.model))
    return evolve(endpoint, card=card, ops=one.ops if endpoint.ops is None else endpoint.ops)


def _under(listed: Card, own: Card) -> Card:
    """The list's word, and where it is silent the plugin's own."""
    return Card(
        abilities=own.abilities if listed.abilities is None else listed.abilities,
        window=listed.window or own.window,
        max_output=listed.max_output or own.max_output,
        price=listed.price or own.price,
        quality=own.quality,
        keeps=own.keeps | listed.keeps,
    )
