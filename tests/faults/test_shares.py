"""Three weighted peers get their shares; when one is down its share goes to the others, by weight."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from llmrouter.testing.upstream import Upstream
from llmrouter.testing.upstream_openai import TEXT, chat
from tests.calling import at_once
from tests.faults.setups import config
from tests.harness import serving

ROUNDS = 1000
NEAR = 0.03
WEIGHTS = {"a": 3, "b": 1, "c": 1}


@pytest.fixture
def three() -> Iterator[dict[str, Upstream]]:
    with ExitStack() as stack:
        yield {name: stack.enter_context(Upstream(chat())) for name in WEIGHTS}


def weighted(three: dict[str, Upstream]) -> str:
    tier = [{"to": f"{name}/m", "weight": weight} for name, weight in WEIGHTS.items()]
    addresses = {name: upstream.base_url for name, upstream in three.items()}
    return config(
        addresses, {"three": [tier]}, routing={"policy": {"plugin": "failover"}, "sticky": {"session": False}}
    )


def shares(three: dict[str, Upstream], served: int) -> dict[str, float]:
    return {name: len(upstream.requests) / served for name, upstream in three.items()}


def test_peers_get_their_shares(three: dict[str, Upstream]) -> None:
    with serving(weighted(three)) as router:
        texts = at_once(ROUNDS, lambda _: router.chat("three").text, 8)
    assert set(texts) == {TEXT}
    assert shares(three, ROUNDS) == pytest.approx({"a": 0.6, "b": 0.2, "c": 0.2}, abs=NEAR)


@pytest.mark.parametrize(("down", "expected"), [("a", {"b": 0.5, "c": 0.5}), ("b", {"a": 0.75, "c": 0.25})])
def test_the_share_of_one_that_is_down_is_spread_by_weight(
    three: dict[str, Upstream], down: str, expected: dict[str, float]
) -> None:
    three[down].refuse()
    with serving(weighted(three)) as router:
        texts = at_once(ROUNDS, lambda _: router.chat("three").text, 8)
    assert set(texts) == {TEXT}
    got = shares(three, ROUNDS)
    assert got.pop(down) == 0
    assert got == pytest.approx(expected, abs=NEAR)
