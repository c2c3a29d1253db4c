"""Real vendors, with the keys of the environment: `make live P=openrouter`; `make record P=…` keeps the answers."""

from __future__ import annotations

import pytest

from .recording import mode, sit
from .vendors import STAND_IN, Vendor, vendors

VENDORS = {one.name: one for one in vendors()}
CASES = [(name, exam) for name, one in VENDORS.items() for exam in one.exams]


@pytest.mark.live
@pytest.mark.parametrize(("name", "exam"), CASES, ids=[f"{name}-{exam}" for name, exam in CASES])
def test_a_vendor_does_what_its_adapter_expects(name: str, exam: str) -> None:
    vendor = VENDORS[name]
    _skip_where_it_cannot_be_asked(vendor)
    sit(vendor, exam, mode())


def _skip_where_it_cannot_be_asked(vendor: Vendor) -> None:
    if vendor.key == STAND_IN:
        pytest.skip(f"{vendor.env} is not set")
    if not vendor.is_installed:
        pytest.skip(f"{vendor.cassettes.parents[3].name} is not installed")


def test_what_was_recorded_still_replays() -> None:
    """Every cassette that `make record` has left beside a plugin."""
    for vendor in vendors():
        for cassette in sorted(vendor.cassettes.glob("*.yaml")):
            sit(vendor, cassette.stem, "replay")
