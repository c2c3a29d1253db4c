"""When upstreams are away or slow: all of it drawn before the first request, so that no router can change it."""

from __future__ import annotations

import math
import random
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence

from attrs import define, field, frozen

from .trace import Away, Outage, Shared, Upstream


@frozen(order=True)
class Episode:
    """An outage from `start` to `end`; `slow` times as slow, or away where that is 1."""

    start: float
    end: float
    how: Away = field(default="connect", order=False)
    slow: float = field(default=1.0, order=False)


@define(eq=False)
class Weather:
    """What one upstream goes through. Of outages that overlap the one that began first counts."""

    outages: Sequence[Episode] = ()
    slow: Sequence[Episode] = ()
    _starts: list[float] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.outages = _apart(self.outages)
        self._starts = [one.start for one in self.outages]

    def outage(self, now: float) -> Episode | None:
        """The outage that is going on."""
        place = bisect_right(self._starts, now) - 1
        return self.outages[place] if place >= 0 and now < self.outages[place].end else None

    def next(self, now: float) -> Episode | None:
        """The first outage that begins later."""
        place = bisect_right(self._starts, now)
        return self.outages[place] if place < len(self.outages) else None

    def slowness(self, now: float) -> float:
        return max((one.slow for one in self.slow if one.start <= now < one.end), default=1.0)


def forecast(
    places: Mapping[str, Upstream], shared: Shared | None, duration: float, seed: int
) -> Mapping[str, Weather]:
    """The weather of every place, in seconds since the beginning.

    Shared outages come on top of a place's own, so its own are fewer by as many: each place is away as its own
    `up` and `down` say.
    """
    episodes = {name: list(_known(upstream)) for name, upstream in places.items()}
    chances = {name: _by_chance(upstream) for name, upstream in places.items()}
    partners = [name for name, found in chances.items() if found]
    hits = min(shared.hits, len(partners)) if shared else 1
    rarer = 1.0 + (shared.share * (hits - 1) if shared else 0.0)
    for name, found in chances.items():
        random_ = random.Random(f"{seed}/weather/{name}")
        others = [one for one in partners if one != name]
        for outage in found:
            away = outage.slow is None
            for one in _drawn(outage, rarer if away else 1.0, duration, random_):
                episodes[name].append(one)
                if away and shared and random_.random() < shared.share:
                    for other in random_.sample(others, hits - 1):
                        episodes[other].append(one)
    return {name: _weather(found) for name, found in episodes.items()}


def _by_chance(upstream: Upstream) -> Sequence[Outage]:
    return [one for one in upstream.outages if one.up is not None]


def _known(upstream: Upstream) -> Iterator[Episode]:
    for one in upstream.outages:
        if one.at is not None:
            yield Episode(one.at, one.at + one.lasts, one.how, one.slow or 1.0)


def _drawn(outage: Outage, rarer: float, duration: float, random_: random.Random) -> Iterator[Episode]:
    assert outage.up is not None
    now = random_.expovariate(1.0 / (outage.up * rarer))
    while now < duration:
        end = now + random_.expovariate(1.0 / outage.down)
        yield Episode(now, end, outage.how, outage.slow or 1.0)
        now = end + random_.expovariate(1.0 / (outage.up * rarer))


def _weather(episodes: Sequence[Episode]) -> Weather:
    return Weather(
        outages=[one for one in episodes if one.slow == 1.0], slow=[one for one in episodes if one.slow != 1.0]
    )


def _apart(episodes: Sequence[Episode]) -> list[Episode]:
    """The same in their order, none before the one before it has ended."""
    found: list[Episode] = []
    ended = -math.inf
    for one in sorted(episodes):
        if one.end > ended:
            found.append(Episode(max(one.start, ended), one.end, one.how))
            ended = one.end
    return found
