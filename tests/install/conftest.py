from __future__ import annotations

import pytest

from tests.install import sources
from tests.install.building import ROOT, Built, Environment, build


@pytest.fixture(scope="session")
def released(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Every distribution of this repository: source distributions, and wheels made from those."""
    folder = tmp_path_factory.mktemp("released")
    build(ROOT, folder)
    return Built(folder)


@pytest.fixture(scope="session")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The distributions of `sources`."""
    source, folder = tmp_path_factory.mktemp("sources"), tmp_path_factory.mktemp("foreign")
    sources.write(source, sources.ALL)
    build(source, folder, "--wheel")
    return Built(folder)


@pytest.fixture(scope="session")
def bare(released: Built, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """The core and no plugin."""
    found = Environment(tmp_path_factory.mktemp("bare") / "venv")
    found.install(released.wheel("llmrouter"))
    return found


@pytest.fixture
def alone(released: Built, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """The same for one test, which may install what it likes."""
    found = Environment(tmp_path_factory.mktemp("alone") / "venv")
    found.install(released.wheel("llmrouter"))
    return found


@pytest.fixture(scope="session")
def crowded(released: Built, foreign: Built, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """The core with everything foreign at once; a test says which of it counts."""
    found = Environment(tmp_path_factory.mktemp("crowded") / "venv")
    found.install(released.wheel("llmrouter"))
    found.add(*foreign.wheels())
    return found


@pytest.fixture(scope="session")
def complete(released: Built, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """Everything of this repository."""
    found = Environment(tmp_path_factory.mktemp("complete") / "venv")
    found.install(*released.wheels())
    return found
