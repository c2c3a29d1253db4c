"""What is told of models: to the operator, and by the command line."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec

from llmrouter.catalogue.joining import Joined
from llmrouter.catalogue.lists import Listings
from llmrouter.types import ANY_MODEL, Endpoint, Price


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A model of a provider. Tokens, USD per million tokens, seconds since the epoch; null is unknown."""

    id: str  # "provider/model"
    provider: str
    model: str
    author: str
    context_window: int | None
    max_output: int | None
    price: Price | None
    abilities: list[str] | None
    quality: float
    state: str  # listed, configured, unlisted, gone; or why it is held
    since: float | None  # first listed
    gone: float | None  # no longer listed, since


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """The list of one provider: when it was read, how many models it has, how many it had, what went wrong."""

    provider: str
    at: float
    tried: float
    models: int
    gone: int
    problem: str


class Told(msgspec.Struct, frozen=True, kw_only=True):
    models: list[Row]
    providers: list[Source]


def told(joined: Joined, listings: Listings, held: Callable[[Endpoint], str] = lambda endpoint: "") -> Told:
    """Every model. `held` says why one is not called now: "" where nothing stands in the way."""
    return Told(
        models=list(_rows(joined, listings, held)),
        providers=[
            Source(
                provider=name,
                at=one.at,
                tried=one.tried,
                models=len(one.current),
                gone=len(one.models) - len(one.current),
                problem=one.problem,
            )
            for name, one in listings.items()
        ],
    )


def _rows(joined: Joined, listings: Listings, held: Callable[[Endpoint], str]) -> Iterator[Row]:
    listed = {f"{name}/{one.model}": one for name, listing in listings.items() for one in listing.models}
    read = {name for name, listing in listings.items() if listing.current}
    for id, endpoint in (*joined.endpoints.items(), *joined.discovered.items()):
        if endpoint.model == ANY_MODEL:
            continue
        own, card = listed.get(id), endpoint.card
        if own is None:
            state = "unlisted" if endpoint.provider in read else "configured"
        else:
            state = "gone" if own.gone else "listed"
        yield Row(
            id=id,
            provider=endpoint.provider,
            model=endpoint.model,
            author=_author(endpoint),
            context_window=card.window,
            max_output=card.max_output,
            price=card.price,
            abilities=None if card.abilities is None else sorted(card.abilities),
            quality=card.quality,
            state=held(endpoint) or state,
            since=own.seen if own else None,
            gone=own.gone if own else None,
        )


def _author(endpoint: Endpoint) -> str:
    """Who made the model, where its id says so; else who serves it."""
    author, slash, _ = endpoint.model.partition("/")
    return author if slash else endpoint.provider
