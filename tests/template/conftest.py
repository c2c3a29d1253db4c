from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from .baking import KINDS, baked


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """A package of each kind. A test that changes one copies it."""
    return {kind: baked(tmp_path_factory.mktemp(kind), kind=kind) for kind in KINDS}
