"""What a model name of a client stands for: tiers of endpoints.

In order: a group or an alias; `auto` and its kin; `provider/model`; a bare model id; else nothing.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal, NoReturn

from attrs import Factory, define, evolve, field, frozen

from llmrouter.errors import InvalidRequest
from llmrouter.settings import EngineSettings, GroupSettings, Member, RoutingSettings
from llmrouter.types import ANY_MODEL, Endpoint

from .prices import free

Order = Literal["", "cost", "speed", "quality"]

ORDERS: Mapping[str, Order] = {"cheapest": "cost", "fastest": "speed", "best": "quality"}
SUFFIXES: Mapping[str, Order] = {":floor": "cost", ":nitro": "speed", ":free": ""}
PHASES = ("plan", "implement")
SHOWN = 100  # characters of a name that is nothing
REMEMBERED = 1024
"""Names of models that no configuration lists, kept so that each is looked up once."""


@frozen
class Place:
    """An endpoint in a tier, and its share of the tier's traffic."""

    endpoint: Endpoint
    weight: float = 1.0


@frozen(kw_only=True)
class Expansion:
    """What a name stands for. `reason` is the reason code of whatever is chosen from it."""

    tiers: tuple[tuple[Place, ...], ...]
    reason: str
    group: str = ""  # its own policy applies
    order: Order = ""  # the client's word on how to choose; it wins over the policy
    engine: EngineSettings | None = None
    narrowest: float = field(  # the smallest window of all that are known; tokens
        init=False,
        eq=False,
        repr=False,
        default=Factory(lambda it: min(_windows(it.tiers), default=math.inf), True),
    )


@define(eq=False)
class Names:
    """Every name of one configuration. `endpoints` are by id, in the order of the configuration.

    `discovered` are models that their providers list beside those: served by their own names only, so that what a
    provider adds overnight changes nothing that was chosen. `gone` are ids of either that are offered no more.
    """

    endpoints: Mapping[str, Endpoint]
    groups: Mapping[str, GroupSettings]
    aliases: Mapping[str, str]
    routing: RoutingSettings
    discovered: Mapping[str, Endpoint] = field(factory=dict)
    gone: frozenset[str] = frozenset()
    _known: dict[str, Expansion] = field(factory=dict)
    _found: dict[str, Expansion] = field(factory=dict)

    def __attrs_post_init__(self) -> None:
        for name, group in self.groups.items():
            self._known[name] = self._group(name, group)
        self._known["auto"] = self._auto()
        for task in dict.fromkeys((*self.routing.tasks, *PHASES)):
            self._known[f"auto/{task}"] = self._task(task)
        for name, order in ORDERS.items():
            self._known[f"auto/{name}"] = evolve(self._known["auto"], order=order, reason=order)
        for alias in self.aliases:
            self._known[alias] = self._known.get(self._unaliased(alias)) or self._plain(self._unaliased(alias))
        self._known = {name: expansion for name, expansion in self._known.items() if expansion.tiers}

    def expand(self, asked: str, task: str = "") -> Expansion:
        """What `asked` stands for. Raises InvalidRequest (404) with a suggestion if it is nothing."""
        if asked == "auto" and task and f"auto/{task}" in self._known:
            asked = f"auto/{task}"
        found = self._known.get(asked) or self._found.get(asked)
        return found or self._remember(asked, self._suffixed(asked) or self._plain(asked))

    def listed(self) -> Iterator[tuple[str, str]]:
        """Names a client may choose from, each with its owner: groups first, then `provider/model`."""
        for name in self._known:
            yield name, "llmrouter"
        for id, endpoint in (*self.endpoints.items(), *self.discovered.items()):
            if endpoint.model != ANY_MODEL and id not in self.gone:
                yield id, endpoint.provider

    # ---- the parts ------------------------------------------------------------------------------

    def _group(self, name: str, group: GroupSettings) -> Expansion:
        tiers = tuple(tuple(self._place(member) for member in tier) for tier in group.tiers)
        return Expansion(tiers=tiers, reason="default", group=name, engine=group.engine)

    def _place(self, member: Member) -> Place:
        return Place(self._exact(self._unaliased(member.to)) or self._missing(member.to), member.weight)

    def _auto(self) -> Expansion:
        default = self.routing.default
        if default is None:
            return Expansion(tiers=_tier(self._listed_endpoints()), reason="default")
        known = self._known.get(self._unaliased(default)) or self._plain(self._unaliased(default))
        return evolve(known, reason="default")

    def _task(self, task: str) -> Expansion:
        rule = self.routing.tasks.get(task)
        if rule is None:
            return self._known["auto"]
        named = tuple(self._place(Member(id)) for id in rule.models)
        preferred, fallback = (self._of(names) for names in (rule.prefer, rule.fallback))
        tiers = tuple(tier for tier in (named, *_tier(preferred), *_tier(fallback)) if tier)
        return Expansion(tiers=tiers, reason="task")

    def _of(self, providers: Sequence[str]) -> list[Endpoint]:
        return [e for name in providers for e in self._listed_endpoints() if e.provider == name]

    def _listed_endpoints(self) -> list[Endpoint]:
        return [endpoint for endpoint in self.endpoints.values() if endpoint.model != ANY_MODEL]

    def _offered(self) -> Iterator[Endpoint]:
        return (endpoint for id, endpoint in self.discovered.items() if id not in self.gone)

    def _suffixed(self, asked: str) -> Expansion | None:
        for suffix, order in SUFFIXES.items():
            if asked.endswith(suffix) and (base := self._known.get(asked.removesuffix(suffix))):
                tiers = base.tiers if order else _free(base.tiers)
                return evolve(base, tiers=tiers, order=order, reason=order or "cost")
        return None

    def _plain(self, asked: str) -> Expansion:
        if endpoint := self._exact(asked):
            return Expansion(tiers=((Place(endpoint),),), reason="asked")
        serving = [
            endpoint for endpoint in (*self._listed_endpoints(), *self._offered()) if endpoint.model == asked
        ]
        if serving:
            return Expansion(tiers=_tier(serving), reason="asked")
        return self._missing(asked)

    def _exact(self, id: str) -> Endpoint | None:
        provider, slash, model = id.partition("/")
        known = self.endpoints.get(id) or self.discovered.get(id)
        if known or not (slash and model):
            return known
        any_model = self.endpoints.get(f"{provider}/{ANY_MODEL}")
        return evolve(any_model, model=model) if any_model else None

    def _unaliased(self, name: str) -> str:
        seen: set[str] = set()
        while name in self.aliases and name not in seen:
            seen.add(name)
            name = self.aliases[name]
        return name

    def _remember(self, asked: str, expansion: Expansion) -> Expansion:
        if len(self._found) >= REMEMBERED:
            self._found.clear()
        self._found[asked] = expansion
        return expansion

    def _alike(self, asked: str) -> Iterator[str]:
        """Names to look for a slip in. Of the many that are only listed those that begin alike: each costs 9 µs."""
        begins = asked.rpartition("/")[2][:2].casefold()
        for id, owner in self.listed():
            if id not in self.discovered or id.rpartition("/")[2][:2].casefold() == begins:
                yield from (id, id.removeprefix(f"{owner}/"))

    def _missing(self, asked: str) -> NoReturn:
        asked = asked if len(asked) <= SHOWN else f"{asked[:SHOWN]}…"
        close = difflib.get_close_matches(asked, list(self._alike(asked)), 1)
        hint = f" Did you mean {close[0]!r}?" if close else " GET /v1/models lists what there is."
        raise InvalidRequest(
            f"The model {asked!r} does not exist here.{hint}", param="model", code="model_not_found", status=404
        )


def _windows(tiers: Iterable[Iterable[Place]]) -> Iterator[int]:
    for tier in tiers:
        for place in tier:
            if place.endpoint.card.window is not None:
                yield place.endpoint.card.window


def _tier(endpoints: Iterable[Endpoint]) -> tuple[tuple[Place, ...], ...]:
    """One tier of peers, or none."""
    places = tuple(Place(endpoint) for endpoint in endpoints)
    return (places,) if places else ()


def _free(tiers: tuple[tuple[Place, ...], ...]) -> tuple[tuple[Place, ...], ...]:
    kept = (tuple(place for place in tier if _costs_nothing(place.endpoint)) for tier in tiers)
    return tuple(tier for tier in kept if tier)


def _costs_nothing(endpoint: Endpoint) -> bool:
    price = endpoint.card.price
    return price is not None and free(price)
