"""Every fault of the catalogue, with a healthy peer and alone: the whole answer, or the truth in time."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from typing import Any

import pytest
from attrs import frozen

from llmrouter.testing.upstream import Received, Script, Upstream
from llmrouter.testing.upstream_faults import ELSEWHERE, faults
from llmrouter.testing.upstream_openai import TEXT, chat
from llmrouter.testing.upstream_refusals import Fault
from llmrouter.testing.upstream_scripts import chosen
from tests.calling import Answer, at_once
from tests.faults.setups import config
from tests.harness import Serving, serving

IN_TIME = 12.0
"""Seconds, far beyond every time-out of the configuration: beyond it a request hangs."""
REFUSED = Fault("refused", chat(), ("connect",))
HEAVY = ("flood", "giant_event")
ALL = {fault.name: fault for fault in (REFUSED, *faults())}
HINTS = {
    "seconds": 7,
    "fraction": 7,
    "milliseconds": 7,
    "reset_header": 90,
    "date": 30,
    "hours": 7200,
}
"""Form of a hint → the seconds it stands for; a day is the most that is believed."""
CASES = [(name, shape, peers) for name in ALL for shape in ALL[name].shapes for peers in ("peer", "alone")]


@frozen
class Seen:
    answer: Answer
    seconds: float
    tried: int  # requests that reached the faulty upstream
    served: int  # requests that reached the healthy one


@pytest.fixture(scope="module")
def seen() -> Iterator[Mapping[tuple[str, str, str], Seen]]:
    """One router for the whole catalogue: a group per case, all cases at once but for the heavy ones."""
    with ExitStack() as stack:
        faulty = stack.enter_context(Upstream(chosen(_by_path)))
        gone = stack.enter_context(Upstream(chat()))
        healthy = stack.enter_context(Upstream(chat()))
        gone.refuse()
        providers = {
            _key(case): f"{gone.base_url if case[0] == 'refused' else faulty.base_url}/{_key(case)}"
            for case in CASES
        }
        for case in CASES:
            if case[2] == "peer":
                providers[f"good-{_key(case)}"] = f"{healthy.base_url}/{_key(case)}"
        groups = {f"g-{_key(case)}": _members(case) for case in CASES}
        router = stack.enter_context(serving(config(providers, groups, breaker=None)))
        heavy = [case for case in CASES if case[0] in HEAVY]
        light = [case for case in CASES if case[0] not in HEAVY]
        answers = dict(zip(light, at_once(len(light), lambda i: _ask(router, light[i]), 32), strict=True))
        answers |= {case: _ask(router, case) for case in heavy}
        yield {
            case: Seen(answer, seconds, _count(faulty, case), _count(healthy, case))
            for case, (answer, seconds) in answers.items()
        }
        assert not any(request.path.startswith(ELSEWHERE) for request in faulty.requests + healthy.requests)


def _key(case: tuple[str, str, str]) -> str:
    return "-".join(case).replace("_", "-")


def _members(case: tuple[str, str, str]) -> list[str]:
    peers = [f"good-{_key(case)}/m"] if case[2] == "peer" else []
    return [f"{_key(case)}/m", *peers]


def _by_path(request: Received) -> Script:
    case = next(case for case in CASES if request.path.startswith(f"/{_key(case)}/"))
    return ALL[case[0]].script


def _count(upstream: Upstream, case: tuple[str, str, str]) -> int:
    return sum(request.path.startswith(f"/{_key(case)}/") for request in upstream.requests)


def _ask(router: Serving, case: tuple[str, str, str]) -> tuple[Answer, float]:
    started = time.monotonic()
    answer = router.chat(f"g-{_key(case)}", stream=case[1] == "stream", max_tokens=8)
    router.close()
    return answer, time.monotonic() - started


def _cases(peers: str) -> list[tuple[str, str]]:
    return [(name, shape) for name, shape, who in CASES if who == peers]


@pytest.mark.parametrize(("name", "shape"), _cases("peer"))
def test_with_a_healthy_peer_the_client_gets_the_whole_answer(
    seen: Mapping[tuple[str, str, str], Seen], name: str, shape: str
) -> None:
    fault, one = ALL[name], seen[name, shape, "peer"]
    assert one.seconds < IN_TIME
    assert one.tried or name == "refused", "the faulty upstream was not tried"
    if fault.final:
        _is_typed_error(one.answer, fault)
        assert one.served == 0
    elif fault.late and shape == "stream":
        _ends_in_an_error(one.answer, fault)
    else:
        assert (one.answer.status, one.answer.text, one.answer.broken) == (200, TEXT, None)
        assert one.answer.headers["x-llmrouter-attempts"] == "2"
        assert one.served == 1


@pytest.mark.parametrize(("name", "shape"), _cases("alone"))
def test_alone_it_becomes_an_error_that_says_what_it_is(
    seen: Mapping[tuple[str, str, str], Seen], name: str, shape: str
) -> None:
    fault, one = ALL[name], seen[name, shape, "alone"]
    assert one.seconds < IN_TIME
    assert one.tried or name == "refused", "the faulty upstream was not tried"
    if fault.late and shape == "stream":
        _ends_in_an_error(one.answer, fault)
    else:
        _is_typed_error(one.answer, fault)


@pytest.mark.parametrize("form", HINTS)
def test_a_hint_reaches_the_client_whatever_its_form(seen: Mapping[tuple[str, str, str], Seen], form: str) -> None:
    for shape in ("plain", "stream"):
        answer = seen[f"status_429_{form}", shape, "alone"].answer
        assert answer.status == 429
        assert HINTS[form] - 3 <= int(answer.headers["retry-after"]) <= HINTS[form] + 1


def _is_typed_error(answer: Answer, fault: Fault) -> None:
    assert 400 <= answer.status < 600
    assert answer.broken is None
    assert set(answer.json["error"]) >= {"message", "type", "param", "code"}
    assert _classes(answer.json) & set(fault.kinds), answer.body
    if answer.status in (429, 503):
        assert int(answer.headers["retry-after"]) >= 1


def _ends_in_an_error(answer: Answer, fault: Fault) -> None:
    """What came before the fault was said once; then there is an error, and nothing that looks like an end."""
    assert answer.status == 200
    assert TEXT.startswith(answer.text)
    assert answer.text
    assert answer.text != TEXT
    last = answer.events[-1]
    assert last["error"]["message"]
    assert _classes(last) & set(fault.kinds), last
    assert not any(
        choice.get("finish_reason") == "stop" for one in answer.events for choice in one.get("choices", ())
    )
    assert "[DONE]" not in answer.data


def _classes(body: Any) -> set[str]:
    """The failure class of an answer, and those of its attempts."""
    told = body["error"]["llmrouter"]
    return {told["class"], *(attempt["class"] for attempt in told["attempts"])}
