"""Everything one configuration says, built. A request keeps the world it began with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress

from attrs import Factory, evolve, frozen

from llmrouter.catalogue.limits import Limits
from llmrouter.catalogue.lists import Listings
from llmrouter.catalogue.names import Expansion, Names
from llmrouter.catalogue.offers import Offer, offers
from llmrouter.errors import InvalidRequest
from llmrouter.protocols import Dialect, Learns, Provider, Repairs, TokenCounter
from llmrouter.routing import Ranking
from llmrouter.settings import Settings
from llmrouter.types import Endpoint, Facts


@frozen(kw_only=True)
class World:
    """Swapped whole when the configuration changes. What outlives it is keyed by ids, never by its objects."""

    settings: Settings
    names: Names
    endpoints: Mapping[str, Endpoint]  # by id, in the order of the configuration
    providers: Mapping[str, Provider]
    dialects: Mapping[str, Dialect]
    limits: Limits
    ranking: Ranking
    group_rankings: Mapping[str, Ranking]  # of groups that have their own
    order_rankings: Mapping[str, Ranking]  # of names in which the client says how to choose
    counter: TokenCounter | None = None
    repair: Repairs | None = None
    learner: Learns | None = None  # the policy, if it learns
    listings: Listings = Factory(dict)  # what the providers list, as far as it is known

    def ranking_of(self, expansion: Expansion) -> Ranking:
        """The client's word on how to choose wins, then the group's own policy."""
        if expansion.order:
            return self.order_rankings[expansion.order]
        return self.group_rankings.get(expansion.group, self.ranking)

    def expansion(self, facts: Facts) -> Expansion:
        """What a request asks for, and after it its own fallbacks, as far as anybody here serves them.

        Raises InvalidRequest for a name that is nothing.
        """
        found = self.names.expand(facts.asked, facts.hints.get("task", ""))
        if not facts.fallbacks:
            return found
        tiers = list(found.tiers)
        for name in facts.fallbacks:
            known = {place.endpoint.id for tier in tiers for place in tier}
            with suppress(InvalidRequest):
                more = [
                    [one for one in tier if one.endpoint.id not in known] for tier in self.names.expand(name).tiers
                ]
                tiers += [tuple(tier) for tier in more if tier]
        return evolve(found, tiers=tuple(tiers))

    def endpoint(self, id: str) -> Endpoint:
        """The endpoint of an id that a decision of this world names."""
        known = self.endpoints.get(id)
        return known or self.names.expand(id).tiers[0][0].endpoint

    def offers(self) -> Sequence[Offer]:
        """Names that clients may ask for, with what is known of them: groups, then `auto`, then models."""
        return offers(self.names, self.listings)
