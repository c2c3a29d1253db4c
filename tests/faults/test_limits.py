"""A limit holds exactly, however many processes share it."""

from __future__ import annotations

import pytest

from llmrouter.testing.upstream import Upstream
from llmrouter.testing.upstream_openai import TEXT, chat
from tests.calling import Answer, at_once
from tests.faults.setups import config
from tests.harness import Serving, process

ADMITTED = 6
SENT = 120
WORKERS = 4
LIMIT = [{"requests": ADMITTED, "per": "day"}]


def burst(router: Serving) -> list[Answer]:
    def ask(_: int) -> Answer:
        answer = router.chat("p/m")
        router.close()
        return answer

    return at_once(SENT, ask, SENT)


@pytest.mark.parametrize("round", [0, *(pytest.param(n, marks=pytest.mark.soak) for n in range(1, 5))])
def test_a_limit_of_six_admits_exactly_six_of_a_burst_to_four_processes(round: int) -> None:
    with Upstream(chat()) as upstream:
        setup = config({"p": upstream.base_url}, {}, quota={"plugin": "sqlite"})
        setup = setup.replace('"api_key": "k"', f'"api_key": "k", "limits": {LIMIT!r}'.replace("'", '"'))
        with process(setup, "--workers", str(WORKERS)) as router:
            answers = burst(router)
    good = [answer for answer in answers if answer.status == 200]
    refused = [answer for answer in answers if answer.status == 429]
    assert (len(good), len(refused)) == (ADMITTED, SENT - ADMITTED)
    assert len(upstream.requests) == ADMITTED
    assert {answer.text for answer in good} == {TEXT}
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in refused)
    assert {answer.error["code"] for answer in refused} <= {"rate_limit_exceeded", "queue_timeout", "queue_full"}
