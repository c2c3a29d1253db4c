"""Frameworks above the SDKs, unmodified, in front of upstreams of every wire."""

from __future__ import annotations

import gc
import importlib.util
import os
import random
from collections.abc import Iterator

import pytest

from llmrouter.testing.upstream import Upstream
from tests.clients.model import COMMAND, WORDS, model, proof
from tests.clients.upstreams import UPSTREAMS, in_front_of
from tests.harness import Serving

from .frameworks import FRAMEWORKS, QUIET, Framework

REQUIRED = "LLMROUTER_REQUIRE_CLIENTS"
MISSING = {module for module, _ in FRAMEWORKS if importlib.util.find_spec(module) is None}

if MISSING and os.environ.get(REQUIRED) != "1":
    pytest.skip(
        f"not installed: {', '.join(sorted(MISSING))}; `make test-clients` does it", allow_module_level=True
    )

pytestmark = [
    pytest.mark.parametrize(
        "framework", [pytest.param(one, id=f"{module}-{one.wire}") for module, one in FRAMEWORKS]
    ),
    pytest.mark.filterwarnings("default"),  # theirs are not ours to mend
]


@pytest.fixture(scope="module", params=UPSTREAMS, ids="on-{}".format)
def served(request: pytest.FixtureRequest) -> Iterator[tuple[Serving, Upstream]]:
    with in_front_of(request.param) as found:
        yield found


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Telemetry is off before a framework is imported; what it leaves open is collected where that is excused."""
    for name, value in QUIET.items():
        monkeypatch.setenv(name, value)
    yield
    gc.unfreeze()  # a loop of theirs lives through several tests
    gc.collect()


@pytest.fixture
def address(served: tuple[Serving, Upstream]) -> str:
    served[1].script = model(wants_proof=False)
    return served[0].base_url


def test_a_question_is_answered(framework: Framework, address: str) -> None:
    assert framework.plain(address, "Say it.") == WORDS


def test_an_answer_streams(framework: Framework, address: str) -> None:
    pieces = framework.stream(address, "Say it.")
    assert "".join(pieces) == WORDS
    assert len([piece for piece in pieces if piece]) > 1


def test_a_tool_is_run_and_its_output_answered(
    framework: Framework, address: str, served: tuple[Serving, Upstream]
) -> None:
    served[1].script = model(wants_proof=True)
    word = f"w{random.getrandbits(64):016x}"
    asked: list[str] = []

    def shell(command: str) -> str:
        """Run a command."""
        asked.append(command)
        return proof(word)

    assert framework.tool(address, "Say it.", shell) == f"The file says {word}."
    assert len(asked) == 1
    assert COMMAND in asked[0]
