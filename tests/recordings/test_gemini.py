"""Recorded traffic of Google's models: through the adapters, through the whole server, and as a chat."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from llmrouter.errors import LLMRouterError
from llmrouter.types import Fault, Finish, Keep, Result, Spent, Text, Thought, ToolArgs, ToolStart
from tests.sdk.validating import strict

from .comparing import blocks, changes, same_body, same_stream
from .families import GEMINI, KEY
from .library import Exchange, exchanges, require
from .replaying import Carried, Stage, stage

pytestmark = pytest.mark.recordings

COUNTS = {
    ("gemini", "generateContent"): 264,
    ("gemini", "streamGenerateContent"): 103,
    ("gemini", "countTokens"): 5,
    ("gemini", "batchEmbedContents"): 11,
    ("gemini", "models"): 3,
    ("vertex", "generateContent"): 22,
    ("vertex", "streamGenerateContent"): 17,
    ("vertex", "countTokens"): 1,
}
"""What is replayed; one more generateContent of the manifest is a batch, which is another API."""
CLASSES: Mapping[int, str] = {404: "not_found", 429: "rate_limited"}
RIGHT: Mapping[int, Sequence[int]] = {400: (400, 502), 404: (404,), 429: (429,)}
"""Status of the upstream → what a client may see; 502 where the router's own key was refused."""


@pytest.fixture(scope="module")
def library() -> list[Exchange]:
    require()
    return exchanges(GEMINI)[0]


@pytest.fixture(scope="module")
def staged(library: list[Exchange]) -> Iterator[Stage]:
    with stage(library, GEMINI) as staged:
        yield staged


def test_all_that_was_recorded_is_here(library: list[Exchange]) -> None:
    assert Counter((one.provider, one.endpoint) for one in library) == COUNTS


# --- the adapters


def test_the_adapters_carry_what_was_recorded(library: list[Exchange], staged: Stage) -> None:
    _none(
        [f"{one.id}: {problem}" for one in library if one.endpoint != "models" for problem in _carry(staged, one)]
    )


def test_the_lists_of_models_are_read(library: list[Exchange], staged: Stage) -> None:
    for exchange in (one for one in library if one.endpoint == "models"):
        if exchange.status >= 400:
            with pytest.raises(LLMRouterError, match="auth"):
                staged.models(exchange)
            continue
        listed = json.loads(exchange.body)["models"]
        ours = [
            one
            for one in listed
            if {"generateContent", "embedContent", "batchEmbedContents"} & {*one["supportedGenerationMethods"]}
        ]
        found = {one.model: one for one in staged.models(exchange)}
        assert {one["name"].removeprefix("models/") for one in ours} == {*found}
        assert all(one.card.window for one in found.values())


def _carry(staged: Stage, exchange: Exchange) -> list[str]:
    carried = staged.carry(exchange)
    problems = [] if carried.status == exchange.status else [f"status {carried.status}"]
    problems += (
        [] if carried.received.headers.get("x-goog-api-key") == KEY else ["sent without the router's own key"]
    )
    problems += _addressed(exchange, carried.received.path)
    problems += [f"{name} changed" for name in changes(exchange.request, carried.received.body) if name != "model"]
    if exchange.status >= 400:
        kind = carried.verdict.failure and carried.verdict.failure.kind
        right = CLASSES.get(exchange.status) or _class_of_400(exchange)
        return problems + ([] if kind == right else [f"{kind} for a {exchange.status}"])
    problems += [f"a failure: {carried.verdict.failure}"] if carried.verdict.failure else []
    problems += [] if b"".join(frame.raw for frame in carried.frames) == exchange.body else ["bytes differ"]
    return problems + _meaning(exchange, carried)


def _addressed(exchange: Exchange, path: str) -> list[str]:
    expected = re.sub(r"^/v1(beta1?)?/", "/v1beta/", exchange.path)
    expected = re.sub(r"/projects/[^/]+/locations/[^/]+/", "/projects/p/locations/l/", expected)
    query = "?alt=sse" if exchange.stream else ""
    return [] if path == expected + query else [f"sent to {path}, recorded {exchange.path}"]


def _class_of_400(exchange: Exchange) -> str:
    if b"API key not valid" in exchange.body:
        return "auth"
    return "context_length" if b"exceeds the maximum number of tokens" in exchange.body else "invalid_request"


def _meaning(exchange: Exchange, carried: Carried) -> list[str]:
    events = carried.events
    problems = [f"a fault: {event.body[:100]!r}" for event in events if isinstance(event, Fault)]
    if not isinstance(next((one for one in reversed(events) if not isinstance(one, Keep)), None), Finish):
        problems.append("no finish at the end")
    documents = answers(exchange)
    if exchange.endpoint == "countTokens":
        expected: Any = [documents[0]["totalTokens"]]
        return problems + _differ("count", [one.value for one in events if isinstance(one, Result)], expected)
    if exchange.endpoint == "batchEmbedContents":
        (value,) = [one.value for one in events if isinstance(one, Result)]
        return problems + _differ("vectors", list(value), [one["values"] for one in documents[0]["embeddings"]])
    return problems + _says_the_same(documents, carried)


def _says_the_same(documents: Sequence[Mapping[str, Any]], carried: Carried) -> list[str]:
    parts = [part for one in documents for part in parts_of(one)]
    events = carried.events
    texts = "".join(part.get("text", "") for part in parts if not part.get("thought"))
    thoughts = "".join(part.get("text", "") for part in parts if part.get("thought"))
    named = [part["functionCall"] for part in parts if part.get("functionCall", {}).get("name")]
    signatures = [part["thoughtSignature"] for part in parts if part.get("thoughtSignature")]
    started = [one for one in events if isinstance(one, ToolStart)]
    told = [one.signature for one in events if isinstance(one, Thought | ToolStart) and one.signature]
    arguments = [json.loads(one.json) for one in events if isinstance(one, ToolArgs)]
    problems = _differ("text", "".join(one.text for one in events if isinstance(one, Text)), texts)
    problems += _differ("thoughts", "".join(one.text for one in events if isinstance(one, Thought)), thoughts)
    problems += _differ("calls", [one.name for one in started], [one["name"] for one in named])
    problems += _differ("signatures", told, signatures)
    if not any(one.get("willContinue") for one in named):
        problems += _differ("arguments", arguments, [one.get("args", {}) for one in named])
    problems += [] if len({one.id for one in started}) == len(started) else ["two calls have one id"]
    return problems + _usage(documents, carried)


def _usage(documents: Sequence[Mapping[str, Any]], carried: Carried) -> list[str]:
    counted = [one["usageMetadata"] for one in documents if "totalTokenCount" in one.get("usageMetadata", {})]
    usages = [one.usage for one in carried.events if isinstance(one, Spent)]
    if not counted:
        return _differ("usages", usages, [])
    last = counted[-1]
    prompt = last.get("promptTokenCount", 0) + last.get("toolUsePromptTokenCount", 0)
    completion = last.get("candidatesTokenCount", 0) + last.get("thoughtsTokenCount", 0)
    found = usages[-1]
    expected = prompt, completion, last.get("cachedContentTokenCount", 0)
    return _differ("usage", (found.prompt, found.completion, found.cache_read), expected)


# --- the whole server


def test_the_whole_server_passes_on_what_was_recorded(library: list[Exchange], staged: Stage) -> None:
    _none(
        [f"{one.id}: {problem}" for one in library if one.endpoint != "models" for problem in _serve(staged, one)]
    )


def _serve(staged: Stage, exchange: Exchange) -> list[str]:
    got, sent, received = staged.serve(exchange)
    if received is None:
        return [f"never sent: {got.status} {got.body[:200]!r}"]
    problems = [f"request {name} changed" for name in changes(sent, received.body) if not _renamed(name)]
    if exchange.status >= 400 and exchange.endpoint == "countTokens":  # then the router counts
        return problems + _differ("status", (got.status, [*got.json]), (200, ["totalTokens"]))
    if exchange.status >= 400:
        problems += [] if got.status in RIGHT[exchange.status] else [f"{got.status} for a {exchange.status}"]
        return problems + ([] if {"code", "message", "status"} <= {*got.error} else [f"no envelope: {got.body!r}"])
    if got.status != 200 or got.broken:
        return [*problems, f"status {got.status}: {got.body[:300]!r} {got.broken or ''}"]
    if exchange.stream and not exchange.body.startswith(b"["):
        return problems + same_stream(exchange.body, got.body, True)
    if exchange.stream:  # a list of chunks, to a client that asked for events: written anew
        return problems + _differ("text", said(got.events), said(answers(exchange)))
    return problems + same_body(exchange.body, got.body)


def test_a_stream_that_is_no_stream_of_events_is_one_list(library: list[Exchange], staged: Stage) -> None:
    listed = [one for one in library if one.body.startswith(b"[") and one.stream]
    assert len(listed) == 7
    for exchange in listed:
        staged.serve(exchange)  # readies the upstream
        path = f"/v1beta/models/{staged.names[exchange.id]}/{exchange.model}:streamGenerateContent"
        got = staged.router.post(path, exchange.request)
        assert got.body == exchange.body
        assert got.headers["content-type"] == "application/json"


# --- another wire


def test_what_was_recorded_is_a_chat_to_who_asks_for_one(library: list[Exchange], staged: Stage) -> None:
    served = 0
    for exchange in library:
        if exchange.status >= 400 or exchange.endpoint not in ("generateContent", "streamGenerateContent"):
            continue
        staged.serve(exchange)
        options = {"stream_options": {"include_usage": True}} if exchange.stream else {}
        got = staged.router.chat(f"{staged.names[exchange.id]}/{exchange.model}", exchange.stream, **options)
        assert got.status == 200, (exchange.id, got.body)
        served += 1
        if exchange.stream:
            assert got.data[-1] == "[DONE]", exchange.id
            for event in got.events:
                strict(ChatCompletionChunk.model_validate(event))
            assert got.text == said(answers(exchange)), exchange.id
            finish = [one["choices"][0]["finish_reason"] for one in got.events if one["choices"]]
        else:
            strict(ChatCompletion.model_validate(got.json))
            finish = [got.json["choices"][0]["finish_reason"]]
        calls = any("functionCall" in part for one in answers(exchange) for part in parts_of(one))
        assert (finish[-1] == "tool_calls") == calls, exchange.id
        assert [one for one in finish if one] == finish[-1:]
    assert served == 286 - 11 + 120 - 1


# --- what was recorded


def answers(exchange: Exchange) -> Sequence[Mapping[str, Any]]:
    """The chunks of a stream, or the one body."""
    if exchange.body.lstrip().startswith(b"["):
        found: list[Mapping[str, Any]] = json.loads(exchange.body)
        return found
    if exchange.stream:
        return [json.loads(block.removeprefix(b"data: ")) for block in blocks(exchange.body)]
    return [json.loads(exchange.body)]


def parts_of(answer: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    candidates = answer.get("candidates") or [{}]
    parts: Sequence[Mapping[str, Any]] = candidates[0].get("content", {}).get("parts", ())
    return parts


def said(documents: Sequence[Mapping[str, Any]]) -> str:
    parts = [part for one in documents for part in parts_of(one)]
    return "".join(part.get("text", "") for part in parts if not part.get("thought"))


def _renamed(name: str) -> bool:
    """Bodies that repeat the model of the path: the router was asked for it by another name."""
    return name in ("requests", "model")


def _differ(what: str, found: Any, expected: Any) -> list[str]:
    return [] if found == expected else [f"{what} {str(found)[:80]!r}, recorded {str(expected)[:80]!r}"]


def _none(problems: Sequence[str]) -> None:
    assert not problems, f"{len(problems)} problems:\n" + "\n".join(problems[:20])
