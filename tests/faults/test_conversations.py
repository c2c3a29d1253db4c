"""Conversations that go on over several workers, by an id of a response or of a call: nothing is missed."""

from __future__ import annotations

import json

from llmrouter.testing.upstream import Received, Upstream
from llmrouter.testing.upstream_gemini import SIGNATURE, Generate
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


def tooled(request: Received) -> Script:
    """Calls a tool, and answers when it has been told what came of it."""
    answered = any("functionResponse" in part for one in request.json["contents"] for part in one["parts"])
    return Generate("done" if answered else "", () if answered else [(call_of(request), "f", "{}")]).answer()


def call_of(request: Received) -> str:
    return f"call-{request.json['contents'][0]['parts'][0]['text']}"


def test_every_worker_gives_signatures_back_that_the_client_dropped() -> None:
    entry = {"plugin": "gemini", "api_key": "k", "models": {"m": {}}}
    with Upstream(chosen(tooled)) as upstream:
        providers = {"g": {**entry, "base_url": upstream.base_url}}
        more = {"breaker": None, "catalogue": {"refresh": None}, "logging": {"level": "error"}}
        setup = json.dumps({"providers": providers, "groups": {"fast": ["g/m"]}, **more})
        with process(setup, "--workers", str(WORKERS)) as router:
            told = at_once(CONVERSATIONS, lambda number: with_tools(router, number), threads=16)
        second = [one.json["contents"] for one in upstream.requests if "functionResponse" in one.body.decode()]
    assert told == ["done"] * CONVERSATIONS
    signed = [part["thoughtSignature"] for contents in second for part in contents[1]["parts"]]
    assert signed == [SIGNATURE] * CONVERSATIONS


def with_tools(router: Caller, number: int) -> str:
    """A round of a tool in OpenAI's words, which keep no signatures; each turn over a connection of its own."""
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
    user = {"role": "user", "content": str(number)}
    asked = {"model": "fast", "messages": [user], "tools": [tool]}
    call = router.post("/v1/chat/completions", asked).json["choices"][0]["message"]["tool_calls"][0]
    router.close()
    bare = {name: call[name] for name in ("id", "type", "function")}
    turns = [
        {"role": "assistant", "tool_calls": [bare]},
        {"role": "tool", "tool_call_id": call["id"], "content": "x"},
    ]
    answer = router.post("/v1/chat/completions", {**asked, "messages": [user, *turns]})
    router.close()
    return str(answer.json["choices"][0]["message"]["content"])
