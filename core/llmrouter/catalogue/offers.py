"""What clients may ask for, and what is known of it: the list of models before it takes a vendor's shape."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from attrs import frozen

from llmrouter.types import Card, Op

from .lists import Listings
from .names import Names


@frozen(kw_only=True)
class Offer:
    """A name and who owns it. `since` is when its provider first listed it, in seconds since the epoch."""

    id: str
    owner: str
    card: Card
    ops: frozenset[Op] | None = None  # None: not known, or all
    since: float | None = None


def offers(names: Names, listings: Listings) -> Sequence[Offer]:
    """Every name that may be asked for: groups and aliases, then `auto` and its kin, then models."""
    since = {f"{name}/{one.model}": one.seen for name, listing in listings.items() for one in listing.models}
    found = [_offer(name, owner, names, since.get(name)) for name, owner in names.listed()]
    return sorted(found, key=lambda one: 2 if one.owner != "llmrouter" else int(one.id.partition("/")[0] == "auto"))


def _offer(name: str, owner: str, names: Names, since: float | None) -> Offer:
    endpoints = [place.endpoint for tier in names.expand(name).tiers for place in tier]
    kinds = [one.ops for one in endpoints]
    ops = None if None in kinds else frozenset(op for kind in kinds if kind for op in kind)
    return Offer(id=name, owner=owner, card=_card([one.card for one in endpoints]), ops=ops, since=since)


def _card(cards: Sequence[Card]) -> Card:
    """Of several members: all that one of them can do, for a request goes to those that can serve it."""
    if len(cards) == 1:
        return cards[0]
    prices = {card.price for card in cards}
    abilities = [card.abilities for card in cards if card.abilities is not None]
    return Card(
        abilities=frozenset[str]().union(*abilities) if abilities else None,
        window=_most(card.window for card in cards),
        max_output=_most(card.max_output for card in cards),
        price=prices.pop() if len(prices) == 1 else None,
        quality=max(card.quality for card in cards),
    )


def _most(values: Iterable[int | None]) -> int | None:
    return max((one for one in values if one is not None), default=None)
