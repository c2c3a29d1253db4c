"""Recorded traffic of Messages: through the adapter, through the whole server, and as a chat."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest
from anthropic.types import Message, RawMessageStreamEvent
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from pydantic import TypeAdapter

from llmrouter.dialects import Chat, Messages
from llmrouter.dialects.common import dumps, parse
from llmrouter.errors import LLMRouterError
from llmrouter.types import (
    Facts,
    Fault,
    Finish,
    Keep,
    Request,
    Result,
    Spent,
    Text,
    Thought,
    ToolArgs,
    ToolStart,
    Wire,
)
from tests.sdk.validating import strict

from .comparing import blocks, changes, data_of, same_body, same_stream
from .families import ANTHROPIC, KEY, MESSAGES_ON_VERTEX
from .library import Exchange, exchanges, require
from .replaying import Carried, Stage, stage

pytestmark = pytest.mark.recordings

COUNTS = {
    ("anthropic", "messages"): 467,
    ("anthropic", "messages.count_tokens"): 12,
    ("anthropic", "models"): 3,
    ("vertex", "messages"): 5,
}
"""What is replayed."""
OTHERS = frozenset(
    {
        "anthropic/vercel-ai--anthropic-skill-create.json#0",
        "anthropic/vercel-ai--anthropic-skill-version-create.json#0",
    }
)
"""Answers that are none of Messages, though they stand among them."""
SEVERAL = frozenset(
    {
        "anthropic/vercel-ai--anthropic-tool-search-deferred-regex.stream.json#0",
        "anthropic/vercel-ai--anthropic-tool-search-regex.1.stream.json#0",
        "anthropic/vercel-ai--spliced-message-start.stream.json#0",
    }
)
"""Streams that somebody put together of several answers: they pass as they are, and mean nothing."""
CLASSES: Mapping[int, str] = {400: "invalid_request", 401: "auth", 404: "not_found"}
RIGHT: Mapping[int, int] = {400: 400, 401: 502, 404: 404}
"""Status of the upstream → what a client sees; 502 where the router's own key was refused."""
ENDS = {"tool_use": "tool_calls", "max_tokens": "length", "refusal": "content_filter", "pause_turn": "length"}
EVENTS: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)


@pytest.fixture(scope="module")
def library() -> list[Exchange]:
    require()
    return [one for family in (ANTHROPIC, MESSAGES_ON_VERTEX) for one in exchanges(family)[0]]


@pytest.fixture(scope="module")
def staged(library: list[Exchange]) -> Iterator[Stage]:
    with stage(library, ANTHROPIC) as staged:
        yield staged


@pytest.fixture(scope="module")
def calls(library: list[Exchange]) -> list[Exchange]:
    return [one for one in library if one.endpoint != "models" and one.id not in OTHERS]


def test_all_that_was_recorded_is_here(library: list[Exchange]) -> None:
    assert Counter((one.provider, one.endpoint) for one in library) == COUNTS
    assert {one.id for one in library} >= OTHERS


# --- the adapter


def test_the_adapter_carries_what_was_recorded(calls: list[Exchange], staged: Stage) -> None:
    _none([f"{one.id}: {problem}" for one in calls for problem in _carry(staged, one)])


def test_the_lists_of_models_are_read(library: list[Exchange], staged: Stage) -> None:
    for exchange in (one for one in library if one.endpoint == "models"):
        if exchange.status >= 400:
            with pytest.raises(LLMRouterError, match="auth"):
                staged.models(exchange)
            continue
        listed = {one["id"]: one for one in json.loads(exchange.body)["data"]}
        found = {one.model: one.card for one in staged.models(exchange)}
        assert listed.keys() == found.keys()
        for id, one in listed.items():
            if "max_input_tokens" in one:
                assert (found[id].window, found[id].max_output) == (one["max_input_tokens"], one["max_tokens"])
                assert found[id].abilities == frozenset({"tools", "vision", "files", "json_schema"})


def _carry(staged: Stage, exchange: Exchange) -> list[str]:
    carried = staged.carry(exchange)
    headers = carried.received.headers
    problems = _differ("status", carried.status, exchange.status)
    problems += _differ("key", (headers.get("x-api-key"), headers["anthropic-version"]), (KEY, "2023-06-01"))
    if exchange.provider == "anthropic":
        problems += [] if exchange.path.endswith(carried.received.path) else ["sent elsewhere"]
    problems += [f"{name} changed" for name in changes(exchange.request, carried.received.body)]
    if exchange.status >= 400:
        failure = carried.verdict.failure
        return problems + _differ("class", failure and failure.kind, CLASSES[exchange.status])
    problems += [f"a failure: {carried.verdict.failure}"] if carried.verdict.failure else []
    raw = b"".join([frame.raw for frame in carried.frames])
    expected = exchange.body.replace(b"event: data\ndata: [DONE]", b"")
    problems += [] if raw.strip() == expected.strip() else ["bytes differ"]
    return problems + ([] if exchange.id in SEVERAL else _meaning(exchange, carried))


def _meaning(exchange: Exchange, carried: Carried) -> list[str]:
    events = carried.events
    problems = [f"a fault: {event.body[:100]!r}" for event in events if isinstance(event, Fault)]
    problems += _differ("ends", [type(one) for one in events].count(Finish), 1)
    if exchange.endpoint == "messages.count_tokens":
        (counted,) = [one.value for one in events if isinstance(one, Result)]
        return problems + _differ("count", counted, json.loads(exchange.body)["input_tokens"])
    answer = whole(exchange)
    content = answer["content"]
    finish = next(one.reason for one in events if isinstance(one, Finish))
    called = [block for block in content if block["type"] == "tool_use"]
    expected = ENDS.get(answer["stop_reason"], "stop")
    problems += _differ("end", finish, "tool_calls" if called and expected == "stop" else expected)
    problems += _differ(
        "text", "".join(one.text for one in events if isinstance(one, Text)), _joined(content, "text")
    )
    thoughts = [one for one in events if isinstance(one, Thought)]
    problems += _differ("thoughts", "".join(one.text for one in thoughts), _joined(content, "thinking"))
    signed = [block.get("signature") or block.get("data") for block in content if "thinking" in block["type"]]
    problems += _differ("signatures", [one.signature for one in thoughts if one.signature], [*filter(None, signed)])
    started = [one for one in events if isinstance(one, ToolStart)]
    problems += _differ(
        "calls", [(one.id, one.name) for one in started], [(one["id"], one["name"]) for one in called]
    )
    for block in called:
        said = "".join(one.json for one in events if isinstance(one, ToolArgs) and one.id == block["id"])
        problems += _differ("arguments", json.loads(said or "{}"), block["input"])
    kept = [one for one in events if isinstance(one, Keep)]
    problems += _differ("kept turns", len(kept), int(bool(called and thoughts)))
    return problems + _usage(answer["usage"], [one.usage for one in events if isinstance(one, Spent)][-1])


def _usage(told: Mapping[str, Any], found: Any) -> list[str]:
    read, written = told.get("cache_read_input_tokens") or 0, told.get("cache_creation_input_tokens") or 0
    expected = told["input_tokens"] + read + written, told["output_tokens"], read, written
    written_found = found.cache_write + found.cache_write_1h
    return _differ("usage", (found.prompt, found.completion, found.cache_read, written_found), expected)


# --- the whole server


def test_the_whole_server_passes_on_what_was_recorded(calls: list[Exchange], staged: Stage) -> None:
    _none([f"{one.id}: {problem}" for one in calls for problem in _serve(staged, one)])


def _serve(staged: Stage, exchange: Exchange) -> list[str]:
    got, sent, received = staged.serve(exchange)
    if received is None:
        return [f"never sent: {got.status} {got.body[:200]!r}"]
    problems = [f"request {name} changed" for name in changes(sent, received.body) if name != "model"]
    if exchange.status >= 400 and exchange.endpoint == "messages.count_tokens":  # then the router counts
        return problems + _differ("status", (got.status, [*got.json]), (200, ["input_tokens"]))
    if exchange.status >= 400:
        problems += _differ("status", got.status, RIGHT[exchange.status])
        return problems + _differ("envelope", (got.json["type"], bool(got.error["message"])), ("error", True))
    if got.status != 200 or got.broken:
        return [*problems, f"status {got.status}: {got.body[:300]!r} {got.broken or ''}"]
    problems += [
        f"header {name}"
        for name, value in exchange.headers.items()
        if name.startswith("anthropic-ratelimit-") and got.headers.get(name) != value
    ]
    problems += [] if got.headers["request-id"].startswith("req_") else ["no request-id"]
    if exchange.stream:
        return problems + same_stream(exchange.body, got.body, True)
    return problems + same_body(exchange.body, got.body)


# --- another wire


def test_what_was_recorded_is_a_chat_to_who_asks_for_one(calls: list[Exchange], staged: Stage) -> None:
    served = 0
    for exchange in calls:
        if exchange.status >= 400 or exchange.endpoint != "messages" or exchange.id in SEVERAL:
            continue
        staged.serve(exchange)  # readies the upstream
        options = {"stream_options": {"include_usage": True}} if exchange.stream else {}
        got = staged.router.chat(f"{staged.names[exchange.id]}/{exchange.model}", exchange.stream, **options)
        assert got.status == 200, (exchange.id, got.body)
        answer, served = whole(exchange), served + 1
        if exchange.stream:
            assert got.data[-1] == "[DONE]", exchange.id
            for event in got.events:
                strict(ChatCompletionChunk.model_validate(event))
            finish = [one["choices"][0]["finish_reason"] for one in got.events if one["choices"]][-1]
            usage = got.events[-1]["usage"]
        else:
            strict(ChatCompletion.model_validate(got.json))
            finish, usage = got.json["choices"][0]["finish_reason"], got.json["usage"]
        said = got.text if exchange.stream else got.json["choices"][0]["message"]["content"] or ""
        assert said == _joined(answer["content"], "text"), exchange.id
        assert (finish == "tool_calls") == any(one["type"] == "tool_use" for one in answer["content"]), exchange.id
        assert usage["completion_tokens"] == answer["usage"]["output_tokens"], exchange.id
    assert served == 467 - 13 + 5 - len(OTHERS) - len(SEVERAL)


# --- written anew


def test_every_recorded_stream_can_be_written_anew_and_fits_the_sdk(calls: list[Exchange]) -> None:
    dialect = Messages()
    for exchange in (one for one in calls if one.status < 400 and one.endpoint == "messages"):
        if exchange.id in SEVERAL:
            continue
        reader = dialect.reader("chat", exchange.stream)
        frames = [*reader.feed(exchange.body), *reader.end()]
        answer = whole(exchange)
        for stream in (True, False):
            facts = Facts(id="req_1", wire=Wire("anthropic.messages", stream), asked="m")
            writer = dialect.writer(Request(facts, parse(b'{"thinking":{"type":"adaptive"}}')))
            data = b"".join([writer.write(frame, False) for frame in frames]) + writer.end()
            again = anew(data) if stream else json.loads(data)
            Message.model_validate(again, strict=False)
            known = [
                one
                for one in answer["content"]
                if one["type"] in ("text", "thinking", "redacted_thinking", "tool_use")
            ]
            assert _joined(again["content"], "text") == _joined(known, "text"), exchange.id
            assert _joined(again["content"], "thinking") == _joined(known, "thinking"), exchange.id
            assert [(one["id"], one["input"]) for one in again["content"] if one["type"] == "tool_use"] == [
                (one["id"], one["input"]) for one in known if one["type"] == "tool_use"
            ], exchange.id


def test_every_recorded_request_can_be_said_in_a_chat_and_again(calls: list[Exchange]) -> None:
    dialect = Messages()
    for exchange in calls:
        if exchange.endpoint != "messages":
            continue
        conversation = dialect.decode("chat", parse(exchange.request))
        first = dialect.encode("chat", conversation)
        assert dialect.encode("chat", dialect.decode("chat", first.fields)).fields == first.fields, exchange.id
        Chat().decode("chat", parse(dumps(Chat().encode("chat", conversation).fields)))


# --- what was recorded


def whole(exchange: Exchange) -> dict[str, Any]:
    """The answer as one body, read without any of the router's code."""
    if not exchange.stream:
        found: dict[str, Any] = json.loads(exchange.body)
        return found
    return collected([json.loads(data_of(block.split(b"\n"))) for block in blocks(exchange.body)])


def anew(data: bytes) -> dict[str, Any]:
    """A stream of ours as one body; every event is checked."""
    events = [json.loads(data_of(block.split(b"\n"))) for block in blocks(data)]
    for event in events:
        EVENTS.validate_python(event, strict=False)
    return collected(events)


def collected(events: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    message: dict[str, Any] = {}
    arguments: dict[int, str] = {}
    for event in events:
        match event["type"]:
            case "message_start":
                message = {**event["message"], "content": []}
            case "content_block_start":
                message["content"].append(dict(event["content_block"]))
            case "content_block_delta":
                _add(message["content"][event["index"]], event["delta"], arguments, event["index"])
            case "message_delta":
                message |= {name: value for name, value in event["delta"].items() if value is not None}
                message["usage"] = message["usage"] | {k: v for k, v in event["usage"].items() if v is not None}
    for index, text in arguments.items():
        message["content"][index]["input"] = json.loads(text or "{}")
    return message


def _add(block: dict[str, Any], delta: Mapping[str, Any], arguments: dict[int, str], index: int) -> None:
    if delta["type"] == "input_json_delta":
        arguments[index] = arguments.get(index, "") + delta["partial_json"]
        return
    for name in ("text", "thinking", "signature"):
        if name in delta:
            block[name] = block.get(name, "") + delta[name]


def _joined(content: Sequence[Mapping[str, Any]], kind: str) -> str:
    return "".join([block[kind] for block in content if block["type"] == kind])


def _differ(what: str, found: Any, expected: Any) -> list[str]:
    return [] if found == expected else [f"{what} {str(found)[:80]!r}, recorded {str(expected)[:80]!r}"]


def _none(problems: Sequence[str]) -> None:
    assert not problems, f"{len(problems)} problems:\n" + "\n".join(problems[:20])
