"""What no upstream should see is refused with a reason, whatever it is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from llmrouter.testing.upstream import Upstream
from llmrouter.testing.upstream_openai import chat
from tests.faults.setups import config
from tests.harness import Serving, serving

HELLO = [{"role": "user", "content": "Hello"}]
CHAT = "/v1/chat/completions"
DEEP = b'{"model": "p/m", "messages": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"


def but(**more: Any) -> bytes:
    return json.dumps({"model": "p/m", "messages": HELLO, **more}).encode()


def without(name: str) -> bytes:
    return json.dumps({key: value for key, value in json.loads(but()).items() if key != name}).encode()


BAD: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "body"),
    "blank": (b"   ", "body"),
    "not_json": (b"hello", "JSON"),
    "cut_json": (but()[:-7], "JSON"),
    "an_array": (b"[]", "object"),
    "a_scalar": (b"17", "object"),
    "null": (b"null", "object"),
    "trailing": (but() + b"}", "JSON"),
    "not_utf8": (b'{"model": "p/m", "messages": "\xff\xfe"}', "UTF-8"),
    "nan": (but(temperature=float("nan")), "JSON"),
    "infinity": (but(temperature=float("inf")), "JSON"),
    "deep": (DEEP, "deep"),
    "no_model": (without("model"), "model"),
    "model_null": (but(model=None), "model"),
    "model_number": (but(model=7), "model"),
    "model_list": (but(model=["p/m"]), "model"),
    "model_empty": (but(model=""), "model"),
    "no_messages": (without("messages"), "messages"),
    "messages_null": (but(messages=None), "messages"),
    "messages_text": (but(messages="Hello"), "messages"),
    "messages_empty": (but(messages=[]), "messages"),
    "messages_of_numbers": (but(messages=[1, 2]), "messages"),
    "stream_text": (but(stream="yes"), "stream"),
    "stream_number": (but(stream=1), "stream"),
    "stream_options_text": (but(stream=True, stream_options="all"), "stream_options"),
    "max_tokens_text": (but(max_tokens="many"), "max_tokens"),
    "max_tokens_negative": (but(max_tokens=-5), "max_tokens"),
    "n_text": (but(n="two"), "n"),
}
ODD = {
    "max_tokens_absurd": but(max_tokens=10**30),
    "tools_text": but(tools="hammer"),
    "temperature_list": but(temperature=[1]),
    "stop_number": but(stop=3),
    "user_object": but(user={"a": 1}),
    "unknown_field": but(frobnicate={"a": [None]}),
    "half_a_pair": but().replace(b"Hello", b"\\ud83d"),
    "a_control_character": but().replace(b"Hello", b"\\u0000"),
}
"""What an upstream may judge: passed on or refused, but never this router's own failure."""
UNKNOWN = {
    "unknown_model": "no-such-model",
    "unknown_provider": "nobody/m",
    "very_long": "x" * 100_000,
    "odd_signs": "p\u0000/\u202e…\n",
}


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with Upstream(chat()) as upstream:
        yield upstream


@pytest.fixture(scope="module")
def router(upstream: Upstream) -> Iterator[Serving]:
    with serving(config({"p": upstream.base_url}, {}, server={"max_body": 2_000_000})) as router:
        yield router
        assert router.chat("p/m").status == 200


def refused(router: Serving, upstream: Upstream, path: str, body: bytes) -> Any:
    upstream.clear()
    answer = router.post(path, body)
    assert 400 <= answer.status < 500, answer.body[:300]
    assert set(answer.json["error"]) >= {"message", "type", "param", "code"}
    assert answer.headers["content-type"].startswith("application/json")
    assert len(answer.body) < 10_000
    assert upstream.requests == []
    return answer


@pytest.mark.parametrize("name", BAD)
def test_a_bad_body_is_refused_with_what_is_wrong(router: Serving, upstream: Upstream, name: str) -> None:
    body, names = BAD[name]
    answer = refused(router, upstream, CHAT, body)
    assert answer.status == 400
    said = answer.json["error"]
    assert names in said["message"] or names == said["param"], said


@pytest.mark.parametrize("name", ODD)
def test_an_odd_body_is_no_failure_of_the_router(router: Serving, name: str) -> None:
    answer = router.post(CHAT, ODD[name])
    assert answer.status == 200 or 400 <= answer.status < 500, answer.body[:300]


@pytest.mark.parametrize("name", UNKNOWN)
def test_an_unknown_model_is_not_found(router: Serving, upstream: Upstream, name: str) -> None:
    answer = refused(router, upstream, CHAT, but(model=UNKNOWN[name]))
    assert (answer.status, answer.json["error"]["code"]) == (404, "model_not_found")


def test_a_model_named_twice_is_not_guessed_at(router: Serving, upstream: Upstream) -> None:
    body = b'{"model": "p/m", "messages": [], "model": "nobody/m", "messages": [{"role": "user", "content": "x"}]}'
    refused(router, upstream, CHAT, body)


def test_a_body_beyond_the_limit_is_too_large(router: Serving, upstream: Upstream) -> None:
    answer = refused(router, upstream, CHAT, but(messages=[{"role": "user", "content": "x" * 2_100_000}]))
    assert answer.status == 413


@pytest.mark.parametrize(
    ("path", "body", "names"),
    [
        ("/v1/embeddings", {"model": "p/m"}, "input"),
        ("/v1/embeddings", {"model": "p/m", "input": None}, "input"),
        ("/v1/embeddings", {"model": "p/m", "input": {"a": 1}}, "input"),
        ("/v1/completions", {"model": "p/m"}, "prompt"),
    ],
)
def test_the_other_paths_say_what_they_miss(
    router: Serving, upstream: Upstream, path: str, body: dict[str, Any], names: str
) -> None:
    answer = refused(router, upstream, path, json.dumps(body).encode())
    assert names in answer.json["error"]["message"] or answer.json["error"]["param"] == names


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", CHAT, 405), ("POST", "/v1/chat", 404), ("PUT", CHAT, 405)]
)
def test_wrong_methods_and_paths_are_said_to_be_wrong(router: Serving, method: str, path: str, status: int) -> None:
    assert router.call(method, path, b"{}", {}).status == status
