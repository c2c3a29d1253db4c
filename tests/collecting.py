"""A pytest plugin: what was there before a test is out of the garbage collector's sight while the test runs.

Thousands of collected tests are a heap that takes a second to walk; many tests collect garbage on purpose, to see
that nothing is left behind, and only what they made themselves can be.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def collecting() -> Iterator[None]:
    gc.freeze()
    yield
    gc.unfreeze()
