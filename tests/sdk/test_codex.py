"""What Codex sends, as it was seen on the wire, and what it needs back: in front of upstreams of every dialect."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest

from llmrouter.testing.speaker import Speaker, Tool
from llmrouter.testing.upstream import Received, Upstream
from llmrouter.testing.upstream_anthropic import SIGNATURE, Messages
from llmrouter.testing.upstream_gemini import SIGNATURE as GOOGLES
from llmrouter.testing.upstream_gemini import Generate
from llmrouter.testing.upstream_line import Script
from llmrouter.testing.upstream_openai import Chat
from llmrouter.testing.upstream_responses import Responses
from llmrouter.testing.upstream_scripts import chosen
from tests.calling import Answer
from tests.harness import Serving, serving

HEADERS = {
    "accept": "text/event-stream",
    "originator": "codex_exec",
    "session-id": "0199-session",
    "x-codex-turn-metadata": '{"turn_id":"0"}',
}
COMMAND = ("call_1", "exec_command", '{"cmd": "ls"}')
SPAWN = ("call_2", "multi_agent_v1__spawn_agent", '{"task": "look"}')
ENTRIES: Mapping[str, tuple[str, Mapping[str, Any], Any]] = {
    "chat": ("/v1", {"plugin": "openai", "profile": "custom"}, Chat),
    "responses": ("/v1", {"plugin": "openai", "profile": "openai"}, Responses),
    "messages": ("", {"plugin": "anthropic"}, Messages),
    "gemini": ("", {"plugin": "gemini"}, Generate),
}
THINKS = ("responses", "messages")


def function(name: str) -> dict[str, Any]:
    parameters = {"type": "object", "properties": {"cmd": {"type": "string"}}, "additionalProperties": False}
    return {"type": "function", "name": name, "description": "d", "strict": False, "parameters": parameters}


def message(role: str, text: str) -> dict[str, Any]:
    return {"type": "message", "role": role, "id": "msg_1", "content": [{"type": "input_text", "text": text}]}


def asks(*more: dict[str, Any]) -> dict[str, Any]:
    space = {"type": "namespace", "name": "multi_agent_v1", "description": "d", "tools": [function("spawn_agent")]}
    return {
        "model": "up/m",
        "stream": True,
        "input": [
            message("developer", "You are an agent."),
            message("developer", "<permissions>"),
            message("user", "<environment>"),
            message("user", "List the files."),
            *more,
        ],
        "tools": [function("exec_command"), space, {"type": "web_search", "external_web_access": False}],
        "tool_choice": "auto",
        "parallel_tool_calls": True,
        "reasoning": {"summary": "auto"},
        "store": False,
        "include": ["reasoning.encrypted_content"],
        "prompt_cache_key": "0199-session",
        "client_metadata": {"x-codex-installation-id": "1"},
    }


@contextmanager
def before(dialect: str, script: Script) -> Iterator[tuple[Serving, Upstream]]:
    prefix, entry, _ = ENTRIES[dialect]
    with Upstream(script) as upstream:
        own = {**entry, "base_url": upstream.base_url + prefix, "api_key": "k", "models": {"m": {}}}
        with serving(json.dumps({"providers": {"up": own}, "logging": {"level": "error"}})) as router:
            yield router, upstream


def speaker(dialect: str, *tools: Tool) -> Speaker:
    said: Speaker = ENTRIES[dialect][2](tools=tools, **({"thought": "Let me see"} if dialect in THINKS else {}))
    return said


def understood(got: Answer) -> list[dict[str, Any]]:
    """The items that Codex takes from a stream: those that are done, once it has seen the end."""
    assert got.status == 200, got.body
    events = got.events
    assert events[-1]["type"] == "response.completed"
    assert events[-1]["response"]["id"]
    assert events[-1]["response"]["usage"]["total_tokens"] > 0
    active = {event["output_index"] for event in events if event["type"] == "response.output_item.added"}
    assert {event["output_index"] for event in events if "output_index" in event} == active
    return [event["item"] for event in events if event["type"] == "response.output_item.done"]


@pytest.mark.parametrize("dialect", ENTRIES)
def test_an_answer_is_understood(dialect: str) -> None:
    with before(dialect, speaker(dialect).answer()) as (router, upstream):
        got = router.post("/v1/responses", asks(), HEADERS)
    (spoken,) = [item for item in understood(got) if item["type"] == "message"]
    assert spoken["content"][0]["text"] == speaker(dialect).text
    native = dialect == "responses"
    assert ("tools.web_search" in got.headers.get("x-llmrouter-dropped", "")) is not native
    assert ("client_metadata" in upstream.requests[0].json) is native


@pytest.mark.parametrize("dialect", ENTRIES)
def test_a_loop_of_tools_is_gone_through(dialect: str) -> None:
    def answer(request: Received) -> Script:
        tools = () if b"README.md" in request.body else (COMMAND, SPAWN)
        return speaker(dialect, *tools).answer()

    with before(dialect, chosen(answer)) as (router, upstream):
        items = understood(router.post("/v1/responses", asks(), HEADERS))
        calls = [item for item in items if item["type"] == "function_call"]
        outputs = [
            {"type": "function_call_output", "id": "fco", "call_id": one["call_id"], "output": "README.md"}
            for one in calls
        ]
        last = understood(router.post("/v1/responses", asks(*items, *outputs), HEADERS))
    if dialect != "responses":  # there a namespace is the upstream's own matter
        assert [(one["name"], one.get("namespace")) for one in calls] == [
            ("exec_command", None),
            ("spawn_agent", "multi_agent_v1"),
        ]
    assert last[-1]["content"][0]["text"] == speaker(dialect).text
    assert upstream.requests[1].body.count(b"README.md") == 2


@pytest.mark.parametrize(("dialect", "signature"), [("messages", SIGNATURE), ("gemini", GOOGLES)])
def test_a_signature_of_another_vendor_comes_back_to_it_and_goes_to_nobody_else(
    dialect: str, signature: str
) -> None:
    """Each request meets a router that remembers nothing: what comes back is what the client was given to keep."""
    hard = {"reasoning": {"effort": "high", "summary": "auto"}}
    with before(dialect, speaker(dialect, COMMAND).answer()) as (router, _):
        items = understood(router.post("/v1/responses", asks() | hard, HEADERS))
    (seal,) = [item["encrypted_content"] for item in items if item["type"] == "reasoning"]
    assert signature in seal
    output = {"type": "function_call_output", "call_id": items[-1]["call_id"], "output": "README.md"}
    for other in ENTRIES:
        with before(other, speaker(other).answer()) as (router, upstream):
            understood(router.post("/v1/responses", asks(*items, output) | hard, HEADERS))
            sent = upstream.requests[0].body
        assert (signature.encode() in sent) is (other == dialect), other
        assert b"README.md" in sent
