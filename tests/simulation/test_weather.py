"""Outages as they are drawn: as often and as long as a trace says, each alone or with others."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmrouter.simulation.trace import Outage, Shared, Upstream
from llmrouter.simulation.weather import Episode, Weather, forecast

YEAR = 365 * 86_400.0
OFTEN = Upstream(outages=(Outage(up=49 * 60.0, down=60.0),))
THREE = {"a": OFTEN, "b": OFTEN, "c": OFTEN}


def away(weather: Weather) -> float:
    return sum(min(one.end, YEAR) - one.start for one in weather.outages)


@pytest.mark.parametrize("shared", [None, Shared(share=0.2), Shared(share=0.5, hits=3)])
def test_each_is_away_as_often_as_it_says(shared: Shared | None) -> None:
    for weather in forecast(THREE, shared, YEAR, 1).values():
        assert away(weather) / YEAR == pytest.approx(1 / 50, rel=0.05)


def test_a_share_of_the_outages_hits_two() -> None:
    found = forecast(THREE, Shared(share=0.2), YEAR, 1)
    starts = [one.start for weather in found.values() for one in weather.outages]
    events = {*starts}
    together = len(starts) - len(events)
    assert together / len(events) == pytest.approx(0.2, abs=0.02)


def test_outages_that_share_nothing_are_independent_and_seeds_differ() -> None:
    one, other = forecast(THREE, None, YEAR, 1), forecast(THREE, None, YEAR, 2)
    starts = {start.start for weather in one.values() for start in weather.outages}
    assert len(starts) == sum(len(weather.outages) for weather in one.values())
    assert one["a"].outages != other["a"].outages
    assert one["a"].outages == forecast(THREE, None, YEAR, 1)["a"].outages


def test_a_brown_out_is_slow_and_not_away() -> None:
    slow = Outage(at=100.0, lasts=50.0, slow=4.0)
    weather = forecast({"a": Upstream(outages=(slow,))}, None, 1_000.0, 1)["a"]
    assert [weather.slowness(now) for now in (99.0, 100.0, 149.9, 150.0)] == [1.0, 4.0, 4.0, 1.0]
    assert weather.outage(120.0) is None


spans = st.tuples(st.floats(0, 100), st.floats(0.1, 50)).map(lambda span: Episode(span[0], span[0] + span[1]))


@given(st.lists(spans, max_size=12), st.floats(0, 200))
def test_it_is_away_exactly_while_any_outage_goes_on(episodes: list[Episode], now: float) -> None:
    weather = Weather(episodes)
    assert (weather.outage(now) is not None) == any(one.start <= now < one.end for one in episodes)
    coming = weather.next(now)
    assert (coming.start if coming else math.inf) > now
    for before, after in zip(weather.outages, weather.outages[1:], strict=False):
        assert before.end <= after.start
