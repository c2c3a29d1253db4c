"""Agent CLIs, unmodified, as their pages in docs/how-to/clients say, in front of upstreams of every wire."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from llmrouter.testing.upstream import Upstream
from tests.harness import Serving

from . import installing
from .model import FILE, WORDS, model, proof
from .recipes import RECIPES, Recipe
from .running import run
from .upstreams import UPSTREAMS, in_front_of

WAYS = [pytest.param(one, way, id=f"{one.name}-{way}") for one in RECIPES for way in one.ways]

pytestmark = pytest.mark.clients


@pytest.fixture(scope="module", params=UPSTREAMS, ids="on-{}".format)
def served(request: pytest.FixtureRequest) -> Iterator[tuple[Serving, Upstream]]:
    with in_front_of(request.param) as found:
        yield found


@pytest.mark.parametrize(("recipe", "way"), WAYS)
def test_a_question_is_answered(recipe: Recipe, way: str, served: tuple[Serving, Upstream], tmp_path: Path) -> None:
    said = ask(recipe, way, served, tmp_path, "")
    assert WORDS in said


@pytest.mark.parametrize(("recipe", "way"), WAYS)
def test_a_tool_is_run_and_its_output_answered(
    recipe: Recipe, way: str, served: tuple[Serving, Upstream], tmp_path: Path
) -> None:
    word = f"w{random.getrandbits(64):016x}"
    said = ask(recipe, way, served, tmp_path, word)
    assert f"The file says {word}." in said


def ask(recipe: Recipe, way: str, served: tuple[Serving, Upstream], home: Path, word: str) -> str:
    """What the client said in the end. With a word, the model wants to know what stands in the file first."""
    router, upstream = served
    if reason := installing.missing(recipe):
        pytest.fail(reason)
    upstream.script = model(wants_proof=bool(word))
    upstream.clear()
    ran = run(recipe, way, router.base_url, home, {FILE: proof(word)})
    assert ran.code == 0, str(ran)
    assert not ran.left, f"{ran.left} processes were left behind"
    assert upstream.requests, "the upstream was not asked"
    assert refused(router, len(upstream.requests)) == [], str(ran)
    return ran.output


def refused(router: Serving, latest: int) -> list[str]:
    """What became of the latest requests that were not answered in full."""
    records = router.get(f"/admin/requests?limit={latest}").json["requests"]
    return [f"{one['status']} {one['outcome']}" for one in records if one["outcome"] != "complete"]
