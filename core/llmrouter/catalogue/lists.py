"""What providers list of their models, as it is kept between runs, and how a new list follows an old one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec
from msgspec.structs import replace

from llmrouter.errors import LLMRouterError
from llmrouter.types import ANY_MODEL, Card, Endpoint, Op

REMEMBERED = 30 * 86_400.0
"""Seconds for which a model that is no longer listed keeps its card: its calls still have a price."""
FIRST_WAIT = 60.0  # seconds to the next try after a failure; doubled each time
MOST_MODELS = 20_000
LONGEST_NAME = 300  # characters


class Listed(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A model that a provider lists, or has listed. Times are seconds since the epoch."""

    model: str  # the upstream's own id
    dialects: tuple[str, ...]
    ops: frozenset[Op] | None = None
    card: Card = Card()
    seen: float  # when it was first listed
    gone: float | None = None  # since when it is not


class Listing(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The list of one provider. `of` tells its upstream: the list of another one is of no use."""

    of: str
    models: tuple[Listed, ...] = ()
    at: float = 0.0  # when it was read; 0 is never
    tried: float = 0.0
    failures: int = 0  # in a row, since
    problem: str = ""  # of the last try

    @property
    def current(self) -> Sequence[Listed]:
        """The models that are there now."""
        return [one for one in self.models if one.gone is None]


Listings = Mapping[str, Listing]
"""By provider."""


def renewed(old: Listing, found: Iterable[Endpoint], now: float) -> Listing:
    """The list after `found` was read. Raises LLMRouterError for what is no list to go by."""
    before = {one.model: one for one in old.models}
    models = {one.model: _listed(one, before.get(one.model), now) for one in found if _sound(one)}
    if len(models) > MOST_MODELS:
        raise LLMRouterError(f"lists {len(models)} models, more than the {MOST_MODELS} that are read")
    if old.current and not models:
        raise LLMRouterError(f"lists no model, and listed {len(old.current)} before")
    left = [_gone(one, now) for one in old.models if one.model not in models]
    kept = [one for one in left if now - (one.gone or now) < REMEMBERED]
    return Listing(of=old.of, models=(*models.values(), *kept), at=now, tried=now)


def failed(old: Listing, problem: str, now: float) -> Listing:
    """The list after it could not be read: as it was."""
    return replace(old, tried=now, failures=old.failures + 1, problem=problem)


def due(listing: Listing, refresh: float, now: float) -> bool:
    """Whether it is time to ask again. A time to come, of a clock that was set back, counts as long ago."""
    wait = min(refresh, FIRST_WAIT * 2 ** (listing.failures - 1)) if listing.failures else refresh
    return not (listing.tried and listing.tried <= now < listing.tried + wait)


def _listed(one: Endpoint, before: Listed | None, now: float) -> Listed:
    seen = before.seen if before else now
    return Listed(model=one.model, dialects=one.dialects, ops=one.ops, card=one.card, seen=seen)


def _gone(one: Listed, now: float) -> Listed:
    return one if one.gone is not None else replace(one, gone=now)


def _sound(one: Endpoint) -> bool:
    """Whether a client could ask for it, and a log could name it."""
    name = one.model
    return name not in ("", ANY_MODEL) and len(name) <= LONGEST_NAME and name.isprintable() and bool(one.dialects)
