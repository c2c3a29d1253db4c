"""Calendar windows: alignment, time zones, and days on which the clocks change."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmrouter.quota import same_window, window

HOUR = 3600.0
ZONES = [
    "UTC",
    "America/Los_Angeles",
    "Europe/Berlin",
    "America/Sao_Paulo",  # its clocks changed at midnight
    "America/Havana",  # midnight comes twice in autumn
    "Africa/Cairo",
    "Asia/Kolkata",
    "Australia/Lord_Howe",  # half an hour
    "Pacific/Apia",  # left out a whole day
]


def at(text: str, zone: str = "UTC") -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


def bounds(spec: str, moment: str) -> tuple[str, str]:
    begins, ends = window(spec).bounds(at(moment))
    return tuple(datetime.fromtimestamp(one, UTC).isoformat(sep=" ")[:19] for one in (begins, ends))  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("spec", "begins", "ends"),
    [
        ("second", "2026-02-18 13:47:29", "2026-02-18 13:47:30"),
        ("30s", "2026-02-18 13:47:00", "2026-02-18 13:47:30"),
        ("minute", "2026-02-18 13:47:00", "2026-02-18 13:48:00"),
        ("hour", "2026-02-18 13:00:00", "2026-02-18 14:00:00"),
        ("day", "2026-02-18 00:00:00", "2026-02-19 00:00:00"),
        ("week", "2026-02-16 00:00:00", "2026-02-23 00:00:00"),
        ("month", "2026-02-01 00:00:00", "2026-03-01 00:00:00"),
        ("week Asia/Kolkata", "2026-02-15 18:30:00", "2026-02-22 18:30:00"),
        ("month America/Los_Angeles", "2026-02-01 08:00:00", "2026-03-01 08:00:00"),
        ("day America/Los_Angeles", "2026-02-18 08:00:00", "2026-02-19 08:00:00"),
        ("day 00:00 America/Los_Angeles", "2026-02-18 08:00:00", "2026-02-19 08:00:00"),
        ("day 04:00 Europe/Berlin", "2026-02-18 03:00:00", "2026-02-19 03:00:00"),
        ("day 20:15", "2026-02-17 20:15:00", "2026-02-18 20:15:00"),
        ("month 20:15", "2026-02-01 20:15:00", "2026-03-01 20:15:00"),
    ],
)
def test_a_window_holds_its_moment(spec: str, begins: str, ends: str) -> None:
    assert bounds(spec, "2026-02-18T13:47:29.500") == (begins, ends)


def test_lengths_are_counted_from_the_epoch() -> None:
    assert window("5h").bounds(7 * HOUR) == (5 * HOUR, 10 * HOUR)
    assert window("7d").bounds(8 * 24 * HOUR) == (7 * 24 * HOUR, 14 * 24 * HOUR)


def test_a_week_begins_on_monday() -> None:
    assert datetime.fromtimestamp(window("week").bounds(at("2026-03-01"))[0], UTC).strftime("%A %d") == "Monday 23"


def test_a_month_begins_before_the_first_where_the_day_has_not_begun() -> None:
    assert bounds("month 20:15", "2026-03-01T10:00:00") == ("2026-02-01 20:15:00", "2026-03-01 20:15:00")
    assert bounds("month America/Los_Angeles", "2026-03-01T07:59:59")[0] == "2026-02-01 08:00:00"


def test_what_is_never_reset_has_no_end() -> None:
    assert window("").bounds(1e9) == (-math.inf, math.inf)


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("America/Los_Angeles", "2026-03-08", 23),
        ("America/Los_Angeles", "2026-11-01", 25),
        ("Europe/Berlin", "2026-03-29", 23),
        ("Europe/Berlin", "2026-10-25", 25),
        ("America/Sao_Paulo", "2018-11-04", 23),  # 00:00 was skipped
        ("America/Sao_Paulo", "2018-02-17", 25),  # 23:00 to 24:00 came twice
        ("America/Havana", "2025-11-02", 25),  # 00:00 to 01:00 came twice
        ("Australia/Lord_Howe", "2026-04-05", 24.5),
    ],
)
def test_a_day_on_which_clocks_change_is_shorter_or_longer(zone: str, day: str, hours: float) -> None:
    begins, ends = window(f"day {zone}").bounds(at(f"{day}T12:00:00", zone))
    assert ends - begins == hours * HOUR


def test_a_reset_that_the_clocks_skip_is_the_moment_of_the_change() -> None:
    begins, ends = window("day 02:30 America/Los_Angeles").bounds(at("2026-03-08T12:00:00", "America/Los_Angeles"))
    assert begins == at("2026-03-08T10:30:00")
    assert ends == at("2026-03-09T09:30:00")


def test_a_reset_that_comes_twice_is_the_first() -> None:
    spec = "day 01:30 America/Los_Angeles"
    first, second = at("2026-11-01T08:30:00"), at("2026-11-01T09:30:00")
    assert window(spec).bounds(first)[0] == window(spec).bounds(second)[0] == first
    assert window(spec).bounds(first - 1)[1] == first


@given(
    zone=st.sampled_from(ZONES),
    period=st.sampled_from(["day", "week", "month"]),
    reset=st.sampled_from(["", " 00:00", " 01:30", " 04:00", " 23:59"]),
    now=st.floats(0, 4e9),
)
def test_windows_of_any_zone_lie_side_by_side(zone: str, period: str, reset: str, now: float) -> None:
    one = window(f"{period}{reset} {zone}")
    begins, ends = one.bounds(now)
    assert begins <= now < ends
    assert one.bounds(begins) == one.bounds(ends - 0.001) == (begins, ends)
    assert one.bounds(ends)[0] == ends
    assert one.bounds(begins - 0.001)[1] == begins


@given(number=st.integers(1, 400), letter=st.sampled_from("smhd"), now=st.floats(0, 4e9))
def test_windows_of_any_length_lie_side_by_side(number: int, letter: str, now: float) -> None:
    begins, ends = window(f"{number}{letter}").bounds(now)
    assert begins <= now < ends
    assert window(f"{number}{letter}").bounds(ends)[0] == ends


@pytest.mark.parametrize(
    "spec",
    [
        "min",
        "minutes",
        "0s",
        "05h",
        "5 h",
        "5w",
        "1.5h",
        "-1h",
        " ",
        "day ",
        "day 24:00",
        "day 4:00 UTC",
        "hour UTC",
    ],
)
def test_what_is_no_window_is_an_error(spec: str) -> None:
    with pytest.raises(ValueError, match="is no window"):
        window(spec)


@pytest.mark.parametrize("zone", ["Mars/Olympus", "../etc/passwd", "/etc/passwd", "america"])
def test_what_is_no_time_zone_is_an_error(zone: str) -> None:
    with pytest.raises(ValueError, match="is no time zone"):
        window(f"day {zone}")


def test_a_provider_need_not_know_the_time_zone() -> None:
    assert same_window("day", "day America/Los_Angeles")
    assert same_window("day 04:00", "day 04:00 Europe/Berlin")
    assert same_window("minute", "minute")
    assert not same_window("day UTC", "day America/Los_Angeles")
    assert not same_window("da", "day")
    assert not same_window("day America/Los_Angeles", "day")
