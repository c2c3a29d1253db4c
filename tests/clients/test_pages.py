"""The pages of the clients, as far as they can be checked without the clients."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.pages.blocks import ROOT, blocks, links, prose

from .recipes import RECIPES, Recipe
from .running import ADDRESS, PAGES, page

INDEX = ROOT / "docs" / "how-to" / "clients.md"
PARSERS: dict[str, Callable[[str], Any]] = {"json": json.loads, "toml": tomllib.loads, "yaml": yaml.safe_load}
EVERY = pytest.mark.parametrize("recipe", RECIPES, ids=lambda one: one.name)


def path_of(recipe: Recipe) -> Path:
    return PAGES / f"{recipe.name}.md"


@EVERY
def test_a_page_installs_what_is_tested(recipe: Recipe) -> None:
    assert recipe.package in page(recipe).install.split()


@EVERY
def test_a_page_runs_what_is_tested_against_the_router(recipe: Recipe) -> None:
    told = page(recipe)
    assert recipe.program in told.run.split()
    assert any(ADDRESS in text for text in (told.run, *told.files.values()))


@EVERY
def test_a_page_tells_of_every_way_that_is_tested(recipe: Recipe) -> None:
    told = page(recipe)
    for changes in recipe.ways.values():
        for old, new in changes.items():
            assert any(old in text for text in (told.run, *told.files.values())), old
            assert new in prose(path_of(recipe)), new


@pytest.mark.parametrize("path", sorted(PAGES.glob("*.md")), ids=lambda path: path.stem)
def test_a_page_is_short_and_found(path: Path) -> None:
    assert f"clients/{path.name}" in {*links(INDEX)}
    assert len(path.read_text("utf-8").splitlines()) <= 40
    for block in blocks(path, *PARSERS):
        assert PARSERS[block.language](block.text), block.id
