"""Recorded exchanges of Ollama's native chat: by its adapter, and in OpenAI's words through the whole server."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from llmrouter.types import Fault, Finish, Spent, Text, Thought, ToolArgs, ToolStart
from tests.calling import Answer

from .comparing import changes
from .families import KEY, OLLAMA
from .library import Exchange, exchanges, require
from .replaying import Stage, stage

pytestmark = pytest.mark.recordings

Body = dict[str, Any]


@pytest.fixture(scope="module")
def library() -> list[Exchange]:
    require()
    found = exchanges(OLLAMA)[0]
    assert len(found) == 34
    return found


@pytest.fixture(scope="module")
def staged(library: list[Exchange]) -> Iterator[Stage]:
    with stage(library, OLLAMA) as staged:
        yield staged


def test_the_adapter_carries_what_was_recorded(library: list[Exchange], staged: Stage) -> None:
    for exchange in library:
        carried = staged.carry(exchange)
        assert (carried.received.path, carried.status) == ("/api/chat", exchange.status)
        assert KEY in carried.received.headers["authorization"]
        assert changes(exchange.request, carried.received.body) == {}
        assert b"".join(frame.raw for frame in carried.frames) == exchange.body
        if exchange.status >= 400:
            assert carried.verdict.failure
            assert carried.verdict.failure.kind == "not_found"
            continue
        assert carried.verdict.failure is None
        _means_the_same(exchange, carried.events)


def _means_the_same(exchange: Exchange, events: Sequence[Any]) -> None:
    lines = said(exchange)
    assert not [event for event in events if isinstance(event, Fault)]
    assert "".join(event.text for event in events if isinstance(event, Text)) == content(lines, "content")
    assert "".join(event.text for event in events if isinstance(event, Thought)) == content(lines, "thinking")
    recorded = [call for line in lines for call in line["message"].get("tool_calls") or ()]
    starts = [event for event in events if isinstance(event, ToolStart)]
    assert [(one.id, one.name) for one in starts] == [(one["id"], one["function"]["name"]) for one in recorded]
    arguments = [json.loads(event.json) for event in events if isinstance(event, ToolArgs)]
    assert arguments == [one["function"]["arguments"] for one in recorded]
    (usage,) = [event.usage for event in events if isinstance(event, Spent)]
    last = lines[-1]
    assert (usage.input, usage.output) == (last["prompt_eval_count"], last["eval_count"])
    assert events[-1] == Finish("tool_calls" if recorded and last["done_reason"] == "stop" else last["done_reason"])


def test_a_client_of_openai_asks_and_is_answered(library: list[Exchange], staged: Stage) -> None:
    for exchange in library:
        staged.serve(exchange)  # readies the upstream
        staged.upstream.clear()
        asked = as_openai(exchange.asked) | {"model": f"{staged.names[exchange.id]}/{exchange.model}"}
        answer = staged.router.post("/v1/chat/completions", asked)
        if exchange.status >= 400:
            assert (answer.status, answer.error["code"]) == (404, "model_not_found")
            continue
        assert answer.status == 200, answer.body
        assert same_request(json.loads(staged.upstream.requests[-1].body), exchange.asked) == []
        _answers_the_same(exchange, answer)


def _answers_the_same(exchange: Exchange, answer: Answer) -> None:
    lines = said(exchange)
    if exchange.stream:
        assert answer.data[-1] == "[DONE]"
        for event in answer.events:
            ChatCompletionChunk.model_validate(event, strict=True)
        deltas = [choice["delta"] for event in answer.events for choice in event["choices"]]
        thought = "".join(delta.get("reasoning_content") or "" for delta in deltas)
        calls = [call for delta in deltas for call in delta.get("tool_calls") or () if "id" in call]
        usage = answer.events[-1]["usage"]
    else:
        ChatCompletion.model_validate(answer.json, strict=True)
        message = answer.json["choices"][0]["message"]
        thought, calls, usage = (
            message.get("reasoning_content", ""),
            message.get("tool_calls", []),
            answer.json["usage"],
        )
    assert (answer.text if content(lines, "content") else "") == content(lines, "content")
    assert thought == content(lines, "thinking")
    assert len(calls) == sum(len(line["message"].get("tool_calls") or ()) for line in lines)
    assert usage["total_tokens"] == lines[-1]["prompt_eval_count"] + lines[-1]["eval_count"]


def said(exchange: Exchange) -> list[Body]:
    return [json.loads(line) for line in exchange.body.splitlines()]


def content(lines: Sequence[Body], name: str) -> str:
    return "".join(line["message"].get(name) or "" for line in lines)


# --- the recorded request as a client of OpenAI would have made it


def as_openai(asked: Mapping[str, Any]) -> Body:
    options = asked.get("options") or {}
    body: Body = {"messages": _messages(asked["messages"]), "stream": asked["stream"]}
    body |= {name: options[name] for name in ("temperature", "seed") if name in options}
    if "num_predict" in options:
        body["max_completion_tokens"] = options["num_predict"]
    if asked.get("tools"):
        body["tools"] = asked["tools"]
    if isinstance(format := asked.get("format"), dict):
        body["response_format"] = {"type": "json_schema", "json_schema": {"name": "x", "schema": format}}
    if "think" in asked:
        body["reasoning_effort"] = "high" if asked["think"] else "none"
    if asked["stream"]:
        body["stream_options"] = {"include_usage": True}
    return body


def _messages(messages: Sequence[Mapping[str, Any]]) -> list[Body]:
    """Calls get ids, and outputs those of the calls before them, in their order."""
    written: list[Body] = []
    waiting: list[str] = []
    for at, message in enumerate(messages):
        one = {"role": message["role"], "content": message["content"]}
        if thought := message.get("thinking"):
            one["reasoning_content"] = thought
        if calls := message.get("tool_calls"):
            one["tool_calls"] = [_call(f"call_{at}_{number}", call) for number, call in enumerate(calls)]
            waiting = [call["id"] for call in one["tool_calls"]]
        if message["role"] == "tool":
            one["tool_call_id"] = waiting.pop(0)
        written.append(one)
    return written


def _call(id: str, call: Mapping[str, Any]) -> Body:
    function = {"name": call["function"]["name"], "arguments": json.dumps(call["function"]["arguments"])}
    return {"id": id, "type": "function", "function": function}


def same_request(sent: Body, recorded: Mapping[str, Any]) -> list[str]:
    """What a server would understand differently."""
    pairs = {
        "messages": ([_plain(one) for one in sent["messages"]], [_plain(one) for one in recorded["messages"]]),
        "tools": (sent.get("tools") or [], [_tool(one) for one in recorded.get("tools") or []]),
        "format": (sent.get("format") or "", recorded.get("format") or ""),
        "options": (sent.get("options") or {}, recorded.get("options") or {}),
        "think": (bool(sent.get("think")), bool(recorded.get("think"))),
        "stream": (sent["stream"], recorded["stream"]),
        "model": (sent["model"], recorded["model"]),
    }
    return [f"{name}: {one} for {other}" for name, (one, other) in pairs.items() if one != other]


def _plain(message: Mapping[str, Any]) -> Body:
    calls = [(call["function"]["name"], call["function"]["arguments"]) for call in message.get("tool_calls") or ()]
    return {
        "role": message["role"],
        "content": message["content"],
        "thinking": message.get("thinking") or "",
        "calls": calls,
    }


def _tool(tool: Mapping[str, Any]) -> Body:
    return {"type": "function", "function": tool["function"]}
