"""Recorded Responses of every vendor, through the adapter, through the whole server, and into chat and back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from llmrouter.dialects import Chat, Responses, parse
from llmrouter.dialects.responses_state import name_of
from llmrouter.testing.upstream import Received
from llmrouter.types import Event, Fault, Finish, Frame, Keep, Request, Result, Spent, Text, ToolStart
from tests.calling import TIMEOUT, Answer

from .comparing import blocks, changes, data_of, opened
from .families import COUNTS, KEY, RESPONSES
from .library import Exchange, exchanges, require
from .replaying import Carried, Stage, stage

pytestmark = pytest.mark.recordings

PROVIDERS = ("azure", "bedrock", "deepseek", "openai", "openrouter", "xai")
LEFT = {"another API": 9}
"""Four counts, which are a family of their own, and five that only look at what is made in the background."""
TWO_ANSWERS = "vercel-ai--openai-reasoning-encrypted-content.1.stream.json"
"""A file in which two streams were written one behind the other: no answer of anybody."""
RIGHT: Mapping[int, tuple[int, ...]] = {200: (400, 502), 400: (400, 404, 502), 401: (502,), 429: (429, 502)}
"""Status of the upstream → what a client may see, where no other upstream is left."""
ENCRYPTED = "reasoning.encrypted_content"
HISTORY = [{"type": "message", "role": "user", "content": "Before"}]
EARLIER = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "content": [{"type": "output_text", "text": "It"}],
}

_event: TypeAdapter[ResponseStreamEvent] = TypeAdapter(ResponseStreamEvent)


@pytest.fixture(scope="module")
def library() -> list[Exchange]:
    require()
    return [one for one in exchanges(RESPONSES)[0] if TWO_ANSWERS not in one.id]


@pytest.fixture(scope="module")
def staged(library: list[Exchange]) -> Iterator[Stage]:
    with stage(library, RESPONSES) as staged:
        yield staged


def test_all_that_was_recorded_is_here(library: list[Exchange]) -> None:
    left = exchanges(RESPONSES)[1]
    assert {reason: left[reason] for reason in LEFT} == LEFT
    assert {one.provider for one in library} == set(PROVIDERS)
    assert len(library) == 546 - LEFT["another API"] - 1


@pytest.mark.parametrize("provider", PROVIDERS)
def test_the_adapter_carries_what_was_recorded(library: list[Exchange], staged: Stage, provider: str) -> None:
    _none(_carry(staged, one) for one in library if one.provider == provider)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_the_whole_server_passes_on_what_was_recorded(
    library: list[Exchange], staged: Stage, provider: str
) -> None:
    _none(_serve(staged, one) for one in library if one.provider == provider)


def test_counts_are_passed_on() -> None:
    require()
    found = exchanges(COUNTS)[0]
    assert len(found) == 4
    with stage(found, COUNTS) as staged:
        for exchange in found:
            carried = staged.carry(exchange)
            counted = json.loads(exchange.body)["input_tokens"]
            assert [one.value for one in carried.events if isinstance(one, Result)] == [counted]
            got, sent, received = staged.serve(exchange)
            assert got.body == exchange.body
            assert received is not None
            assert received.path == "/v1/responses/input_tokens"
            assert set(changes(sent, received.body)) <= {"model"}


def _none(problems: Iterator[Sequence[str]]) -> None:
    wrong = [problem for some in problems for problem in some]
    assert not wrong, f"{len(wrong)} problems:\n" + "\n".join(wrong[:20])


def _in(exchange: Exchange, problems: Sequence[str]) -> list[str]:
    return [f"{exchange.id}: {problem}" for problem in problems]


# --- the adapter


def _carry(staged: Stage, exchange: Exchange) -> list[str]:
    carried = staged.carry(exchange)
    problems = _request(exchange, exchange.request, carried.received, [])
    if carried.status != exchange.status:
        problems.append(f"status {carried.status}, recorded {exchange.status}")
    if exchange.status >= 400:
        return _in(exchange, problems + ([] if carried.verdict.failure else ["the error is no failure"]))
    if _failed(exchange) or _unfinished(exchange):
        return _in(exchange, problems + _told_apart(carried))
    problems += [f"a fault: {one.body[:80]!r}" for one in carried.events if isinstance(one, Fault)]
    problems += _meaning(exchange, carried.events)
    raw = b"".join(frame.raw for frame in carried.frames)
    recorded = exchange.body
    same = list(blocks(raw)) == list(blocks(recorded)) if exchange.stream else raw == recorded
    return _in(exchange, problems + ([] if same else ["the frames are other bytes"]))


def _failed(exchange: Exchange) -> bool:
    return exchange.is_error and exchange.status < 400


def _unfinished(exchange: Exchange) -> bool:
    return not exchange.stream and json.loads(exchange.body).get("status") == "queued"


def _told_apart(carried: Carried) -> list[str]:
    """An error inside, work in the background: never taken for a whole answer."""
    fault = any(isinstance(one, Fault) for one in carried.events)
    whole = any(isinstance(one, Finish) for one in carried.events)
    return [] if fault or not whole else ["taken for a whole answer"]


def _meaning(exchange: Exchange, events: Sequence[Event]) -> list[str]:
    recorded = _response(exchange)
    problems = []
    said = "".join(one.text for one in events if isinstance(one, Text))
    if said != _text(recorded):
        problems.append(f"text {said[:60]!r}, recorded {_text(recorded)[:60]!r}")
    calls = [one.id for one in events if isinstance(one, ToolStart)]
    expected = [
        one["call_id"] for one in recorded["output"] if one["type"] in ("function_call", "custom_tool_call")
    ]
    if calls != expected:
        problems.append(f"calls {calls}, recorded {expected}")
    finish = [one.reason for one in events if isinstance(one, Finish)]
    right = "length" if recorded["status"] == "incomplete" else "tool_calls" if expected else "stop"
    if finish != [right]:
        problems.append(f"finished {finish}, should be {right}")
    spent = [one.usage for one in events if isinstance(one, Spent)]
    usage = recorded["usage"]
    if not spent or (spent[-1].prompt, spent[-1].completion) != (usage["input_tokens"], usage["output_tokens"]):
        problems.append(f"usage {spent}, recorded {usage}")
    return problems


def _response(exchange: Exchange) -> dict[str, Any]:
    """The whole response, read independently of the router."""
    if not exchange.stream:
        body: dict[str, Any] = json.loads(exchange.body)
        return body
    told = [json.loads(data_of(block.split(b"\n"))) for block in blocks(exchange.body)]
    last: dict[str, Any] = told[-1]["response"]
    return last


def _text(response: Mapping[str, Any]) -> str:
    parts = [part for item in response["output"] if item["type"] == "message" for part in item["content"]]
    return "".join(part.get("text") or "" for part in parts)


# --- the whole server


def _serve(staged: Stage, exchange: Exchange) -> list[str]:
    history = _remember(staged, exchange)
    got, sent, received = staged.serve(exchange)
    if exchange.asked.get("background"):
        refused = (got.status, got.error["param"]) == (400, "background") and received is None
        return [] if refused else _in(exchange, [f"work in the background: {got.status}"])
    if received is None:
        return _in(exchange, [f"never sent: {got.status} {got.body[:200]!r}"])
    problems = _request(exchange, sent, received, history)
    if exchange.is_error:
        return _in(exchange, problems + _refused(exchange, got))
    if got.status != 200 or got.broken:
        return _in(exchange, [*problems, f"status {got.status}: {got.body[:200]!r}"])
    return _in(exchange, problems + (_stream if exchange.stream else _plain)(exchange, got))


def _remember(staged: Stage, exchange: Exchange) -> list[Any]:
    """Keep what the request says that it goes on from; the items that it then stands for."""
    id = exchange.asked.get("previous_response_id")
    if not id:
        return []
    stored = {"input": HISTORY, "response": {"id": id, "output": [EARLIER]}}
    memory, loop = staged.router.router.engine.memory, staged.router.loop
    assert loop is not None
    keep = memory.keep("anonymous", Keep(name_of(id), json.dumps(stored).encode()))
    asyncio.run_coroutine_threadsafe(keep, loop).result(TIMEOUT)
    return [*HISTORY, {name: value for name, value in EARLIER.items() if name != "id"}]


def _request(exchange: Exchange, sent: bytes, received: Received, history: list[Any]) -> list[str]:
    """The upstream got what was sent, but for what the router keeps in its place."""
    problems = [] if KEY in received.headers.get("authorization", "") else ["sent without the router's own key"]
    if received.path != "/v1/responses":
        problems.append(f"sent to {received.path}")
    if opened(received.body)["model"] != opened(exchange.request)["model"]:
        problems.append(f"model {opened(received.body)['model']!r}")
    for name, (before, after) in changes(sent, received.body).items():
        if not _allowed(exchange, name, before, after, history):
            problems.append(f"request {name}: {(before or b'')[:80]!r} became {(after or b'')[:80]!r}")
    return problems


def _allowed(exchange: Exchange, name: str, before: bytes | None, after: bytes | None, history: list[Any]) -> bool:
    match name:
        case "model":
            return True
        case "store":
            return after == b"false"
        case "previous_response_id":
            return after is None
        case "metadata":
            return after is None and exchange.provider == "xai"
        case "include":
            return bool(_value(after) == [*(_value(before) or []), ENCRYPTED])
        case "input":
            items = _value(before)
            items = [{"type": "message", "role": "user", "content": items}] if isinstance(items, str) else items
            return bool(_value(after) == history + [item for item in items if not _is_an_id_alone(item)])
    return False


def _is_an_id_alone(item: Mapping[str, Any]) -> bool:
    return item.get("type") == "reasoning" and not item.get("encrypted_content") and not item.get("content")


def _value(raw: bytes | None) -> Any:
    return None if raw is None else json.loads(raw)


def _refused(exchange: Exchange, got: Answer) -> list[str]:
    problems = [] if got.status in RIGHT[exchange.status] else [f"{got.status} for an upstream's {exchange.status}"]
    missing = {"message", "type", "param", "code"} - set(got.json.get("error") or {})
    return problems + ([f"no OpenAI envelope: {got.body[:200]!r}"] if missing else [])


def _plain(exchange: Exchange, got: Answer) -> list[str]:
    before, after = opened(exchange.body), opened(got.body)
    return [name for name in before if after.get(name) != before[name] and not _kept(exchange, name, after)]


def _stream(exchange: Exchange, got: Answer) -> list[str]:
    before, after = list(blocks(exchange.body)), list(blocks(got.body))
    if len(before) != len(after) or b"[DONE]" in got.body:
        return [f"{len(before)} events became {len(after)}"]
    return [
        f"{one[:90]!r} became {other[:90]!r}"
        for one, other in zip(before, after, strict=True)
        if one != other and not _same_but_kept(exchange, one, other)
    ]


def _same_but_kept(exchange: Exchange, before: bytes, after: bytes) -> bool:
    one, other = opened(data_of(before.split(b"\n"))), opened(data_of(after.split(b"\n")))
    if {name for name in one if one[name] != other.get(name)} != {"response"}:
        return False
    was, told = opened(one["response"]), opened(other["response"])
    return all(told.get(name) == was[name] or _kept(exchange, name, told) for name in was)


def _kept(exchange: Exchange, name: str, told: Mapping[str, bytes]) -> bool:
    """What the upstream cannot know: that the router keeps the answer, and what it went on from."""
    asked = exchange.asked
    if name == "store":
        return told[name] == b"true" and asked.get("store") is not False
    return name == "previous_response_id" and _value(told[name]) == asked.get(name)


# --- into another dialect and back


def test_every_recorded_answer_can_be_told_in_chat_and_told_back(library: list[Exchange]) -> None:
    told = 0
    for exchange in library:
        if exchange.is_error or exchange.asked.get("background"):
            continue
        reader = Responses().reader("chat", exchange.stream)
        frames = [*reader.feed(exchange.body), *reader.end()]
        for stream in (True, False):
            chat = _written(Chat(), frames, {"messages": [{"role": "user", "content": "x"}]}, stream)
            (_chunks if stream else _completion)(chat)
            again = Chat().reader("chat", stream)
            back = _written(Responses(), [*again.feed(chat), *again.end()], _asked(exchange), stream)
            assert _text(_valid(back, stream)) == _text(_response(exchange)), exchange.id
        told += 1
    assert told > 500


def _asked(exchange: Exchange) -> dict[str, Any]:
    return {name: value for name, value in exchange.asked.items() if name not in ("model", "stream", "input")} | {
        "input": "x"
    }


def _written(dialect: Any, frames: Sequence[Frame], asked: Mapping[str, Any], stream: bool) -> bytes:
    fields = parse(json.dumps({**asked, "model": "m", "stream": stream}).encode())
    writer = dialect.writer(Request(dialect.facts("chat", fields, {}), fields))
    body: bytes = b"".join(writer.write(frame, False) for frame in frames)
    _ = list(getattr(writer, "keeps", list)())
    return body + writer.end()  # type: ignore[no-any-return]


def _chunks(body: bytes) -> None:
    for block in blocks(body):
        ChatCompletionChunk.model_validate_json(data_of(block.split(b"\n")))


def _completion(body: bytes) -> None:
    ChatCompletion.model_validate_json(body)


def _valid(body: bytes, stream: bool) -> dict[str, Any]:
    response: dict[str, Any]
    if stream:
        events = [json.loads(data_of(block.split(b"\n"))) for block in blocks(body)]
        for event in events:
            _event.validate_python(event)
        assert [event["sequence_number"] for event in events] == list(range(len(events)))
        response = events[-1]["response"]
    else:
        response = json.loads(body)
    Response.model_validate(response)
    return response
