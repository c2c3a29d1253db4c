"""One upstream fails, all the time or now and then; the clients notice nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from llmrouter.testing.upstream import Received, Script, Upstream
from llmrouter.testing.upstream_openai import TEXT, chat, error
from llmrouter.testing.upstream_scripts import JSON, answer, flapping
from tests.calling import at_once
from tests.faults.setups import config
from tests.harness import Serving, process, serving
from tests.telling import Tell

BROKEN = answer(500, JSON, error())
ROUNDS = 400
TURNS = 2.2
"""Seconds in which one that flaps every second was bad, good and bad again."""
MOST = 1.0
"""Seconds between a failure and the next attempt that no machine is too slow for."""


@pytest.fixture
def upstreams() -> Iterator[tuple[Upstream, Upstream]]:
    with Upstream(BROKEN) as bad, Upstream(chat()) as good:
        yield bad, good


def two(bad: Upstream, good: Upstream, **more: Any) -> str:
    """With the time-outs of every day: nobody is silent here but a busy machine."""
    providers = {"bad": bad.base_url, "good": good.base_url}
    return config(providers, {"both": ["bad/m", "good/m"]}, engine={"timeouts": {}, "deadline": "1m"}, **more)


def ask(router: Serving, number: int, stream: bool) -> str:
    """What is wrong with the answer that the client got, "" if nothing; the number travels in the request."""
    got = router.chat("both", stream, user=f"n{number}")
    if got.status == 200 and got.text == TEXT and got.broken is None:
        return ""
    return f"{got.status} {got.body!r} {got.broken!r}"


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("threads", [1, 50])
def test_with_one_upstream_always_failing_every_request_succeeds(
    upstreams: tuple[Upstream, Upstream], stream: bool, threads: int, tell: Tell
) -> None:
    bad, good = upstreams
    start = serving if threads == 1 else process  # many clients need a processor of their own
    with start(two(bad, good, breaker=None)) as router:
        failures = at_once(ROUNDS, lambda number: ask(router, number, stream), threads)
    assert [one for one in failures if one] == []
    assert len(good.requests) == ROUNDS
    gaps = switches(bad, good)
    assert gaps
    median, p99 = (gaps[int(len(gaps) * part)] * 1e3 for part in (0.5, 0.99))
    shape = "streamed" if stream else "plain"
    tell(f"failover, {shape}, {threads} at once: {len(gaps)} switches, median {median:.1f}, p99 {p99:.1f} ms")
    assert gaps[-1] < MOST


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_the_breaker_spares_an_upstream_that_always_fails(
    upstreams: tuple[Upstream, Upstream], stream: bool
) -> None:
    bad, good = upstreams
    with serving(two(bad, good)) as router:
        assert not any(ask(router, number, stream) for number in range(ROUNDS))
    assert 3 <= len(bad.requests) <= 20
    assert len(good.requests) == ROUNDS


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("threads", [1, 50])
def test_with_one_upstream_flapping_every_request_succeeds(
    upstreams: tuple[Upstream, Upstream], stream: bool, threads: int
) -> None:
    bad, good = upstreams
    bad.script = flapping(chat(), BROKEN, every=1.0)
    failures: list[str] = []
    started = time.monotonic()
    with serving(two(bad, good, breaker={"open_for": "200ms", "ramp": "200ms"})) as router:
        while len(failures) < ROUNDS or time.monotonic() - started < TURNS:
            failures += at_once(100, lambda number: ask(router, number, stream), threads)
    assert [one for one in failures if one] == []


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_an_upstream_that_comes_back_is_used_again(upstreams: tuple[Upstream, Upstream], stream: bool) -> None:
    bad, good = upstreams
    with serving(two(bad, good, breaker={"open_for": "100ms", "ramp": "100ms"})) as router:
        assert not any(ask(router, number, stream) for number in range(20))
        bad.clear()
        bad.script = recovered = chat()
        for number in range(400):
            assert not ask(router, number, stream)
            if len(bad.requests) > 20:
                break
    assert bad.script is recovered
    assert len(bad.requests) > 20


def switches(bad: Upstream, good: Upstream) -> list[float]:
    """Seconds from the end of each failure to the arrival at the peer, in order of size."""
    failed = {request.json["user"]: request.ended or request.at for request in bad.requests}
    arrived = {request.json["user"]: request.at for request in good.requests}
    return sorted(arrived[name] - ended for name, ended in failed.items() if name in arrived)


def test_gaps_are_counted_from_the_upstreams_own_times() -> None:
    def asked(script: Script, times: list[float]) -> Upstream:
        made = [Received("POST", "/", {}, b'{"user": "n%d"}' % n, at, 1, None, at) for n, at in enumerate(times)]
        return Upstream(script, made)

    assert switches(asked(BROKEN, [1.0, 2.0]), asked(BROKEN, [1.5, 2.1, 9.0])) == pytest.approx([0.1, 0.5])


def test_small_answers_are_not_held_back_by_the_socket(upstreams: tuple[Upstream, Upstream]) -> None:
    """Nagle's algorithm and a delayed acknowledgement together cost 40 ms an answer."""
    _, good = upstreams
    with serving(config({"good": good.base_url}, {})) as router:
        for stream in (False, True):
            times = sorted(_seconds(router, stream) for _ in range(21))
            assert times[10] < 0.03


def _seconds(router: Serving, stream: bool) -> float:
    started = time.monotonic()
    assert router.chat("good/m", stream).text == TEXT
    return time.monotonic() - started
