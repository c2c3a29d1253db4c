"""Clients: when they come, and what they call an answer."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmrouter import dialects
from llmrouter.protocols import Dialect
from llmrouter.simulation.clients import Asking, Caller, moments
from llmrouter.simulation.script import Asked, read_asked
from llmrouter.simulation.trace import Arrivals, Burst, RequestKind

DAY = 86_400.0
DIALECTS: Mapping[str, Dialect] = {one.name: one for one in dialects.builtin()}
ASKED = Asked(7, 16, 100)


def count(arrivals: Arrivals, duration: float, start: float = 0.0) -> int:
    return len([one for one in moments(arrivals, duration, 1) if one >= start])


def test_as_many_come_as_the_mean_says() -> None:
    assert count(Arrivals(every=5.0), 10 * DAY) == pytest.approx(172_800, rel=0.01)
    assert count(Arrivals(every=60.0, process="regular"), 3_600.0) == 59


def test_hours_differ_and_the_day_has_its_mean() -> None:
    quiet_nights = Arrivals(every=5.0, daily=(1.0,) * 12 + (3.0,) * 12)
    found = [*moments(quiet_nights, 10 * DAY, 1)]
    nights = [one for one in found if one % DAY < DAY / 2]
    assert len(found) == pytest.approx(172_800, rel=0.02)
    assert len(nights) / len(found) == pytest.approx(0.25, abs=0.01)


def test_a_burst_comes_back() -> None:
    bursts = Arrivals(every=5.0, bursts=(Burst(every=1_000.0, lasts=100.0, times=10.0),))
    found = [one for one in moments(bursts, 100_000.0, 1) if one >= 1_000.0]
    inside = [one for one in found if one % 1_000.0 < 100.0]
    assert len(inside) == pytest.approx(99 * 200, rel=0.05)
    assert len(found) - len(inside) == pytest.approx(99 * 180, rel=0.05)


@given(st.integers(0, 10**6), st.integers(1, 40), st.integers(1, 9_000), st.booleans())
def test_a_prompt_says_all_that_its_answer_needs(number: int, words: int, tokens: int, fixed: bool) -> None:
    asked = Asked(number, words, tokens, 2.5, fixed)
    assert read_asked(f'[{{"content":"… {asked.prompt}"}}]'.encode()) == asked


def test_only_one_whole_answer_is_an_answer() -> None:
    free = Asked(7, 16, 100, fixed=False)
    assert ASKED.is_answer("".join(ASKED.says(0)))
    assert free.is_answer("".join(free.says(12)))
    assert not ASKED.is_answer("".join(ASKED.says(12))), "fixed: every upstream says the same"
    other, half = Asked(8, 16, 100).says(0), free.says(1)[:8]
    for said in (other, half, [*half, *free.says(2)[8:]], [*half, *free.says(1)], [], ["7"]):
        assert not free.is_answer("".join(said)), said


CHUNK = 'data: {"id":"c","choices":[{"index":0,"delta":{"content":"%s"},"finish_reason":null}]}\n\n'
FINISH = 'data: {"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
ERROR = 'data: {"error":{"message":"broken"}}\n\n'
TEXT = CHUNK % "".join(ASKED.says(0))


@pytest.mark.parametrize(
    ("status", "body", "outcome"),
    [
        (200, TEXT + FINISH, "answered"),
        (200, TEXT + TEXT + FINISH, "wrong"),
        (200, FINISH, "broken"),
        (200, TEXT + ERROR, "broken"),
        (200, TEXT, "broken"),
        (502, '{"error":{"message":"no"}}', "refused"),
    ],
)
def test_what_a_client_makes_of_its_answer(status: int, body: str, outcome: str) -> None:
    async def main() -> None:
        caller = Caller(ASKED, DIALECTS["openai.chat"].reader("chat", True), lambda: 5.0)
        await caller.start(status, {})
        for start in range(0, len(body), 50):
            await caller.write(body.encode()[start : start + 50])
        caller.ended()
        assert caller.outcome == outcome
        assert caller.first == (5.0 if TEXT in body else None)

    asyncio.run(main())


@pytest.mark.parametrize("name", ["openai.chat", "openai.responses", "anthropic.messages", "gemini.generate"])
def test_a_request_is_said_in_its_own_dialect(name: str) -> None:
    kind = RequestKind(dialect=name, input=300, temperature=0, model="some")
    request = Asking.of(kind, DIALECTS[name]).request(ASKED, 12.0)
    assert read_asked(b"".join(map(bytes, request.fields.values()))) == ASKED
    assert request.facts.wire.dialect == name
    assert (request.facts.asked, request.facts.at, request.facts.id) == ("some", 12.0, "req_7")
    assert request.facts.input_tokens == pytest.approx(300, rel=0.15)
