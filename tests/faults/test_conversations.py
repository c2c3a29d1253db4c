"""Conversations that go on by the id of the response before, over several workers: nothing is missed."""

from __future__ import annotations

import json

from llmrouter.testing.upstream import Received, Upstream
from llmrouter.testing.upstream_line import Script
from llmrouter.testing.upstream_openai import chat
from llmrouter.testing.upstream_scripts import chosen
from tests.calling import Caller, at_once
from tests.faults.setups import config
from tests.harness import process

WORKERS = 4
CONVERSATIONS = 100
TURNS = 4
PATH = "/v1/responses"


def heard(request: Received) -> Script:
    """Says how much it was told."""
    return chat(str(len(request.json["messages"])))


def test_every_worker_knows_what_any_other_has_answered() -> None:
    with Upstream(chosen(heard)) as upstream:
        setup = config({"p": upstream.base_url}, {"fast": ["p/m"]}, breaker=None, engine={"deadline": "60s"})
        with process(setup, "--workers", str(WORKERS)) as router:
            told = at_once(CONVERSATIONS, lambda number: conversation(router, number), threads=16)
    assert told == [["1", "3", "5", "7"]] * CONVERSATIONS, "two messages more with every turn"


def conversation(router: Caller, number: int) -> list[str]:
    """What was heard at every turn. Each comes over a connection of its own, so any worker may take it."""
    told, previous = [], None
    for turn in range(TURNS):
        stream = (number + turn) % 2 == 1
        asked = {"model": "fast", "input": f"{number}, {turn}", "stream": stream, "previous_response_id": previous}
        got = router.post(PATH, asked)
        router.close()
        assert got.status == 200, got.body
        response = got.events[-1]["response"] if stream else json.loads(got.body)
        told.append(response["output"][0]["content"][0]["text"])
        previous = response["id"]
    return told
