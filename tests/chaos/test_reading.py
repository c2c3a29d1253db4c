"""The strict client, and what it makes of answers: a run is worth what these are."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from llmrouter.chaos.client import Answer, ask, read
from llmrouter.chaos.saying import TOOL, Meaning, body, meaning
from llmrouter.chaos.scenario import Shape
from llmrouter.chaos.verdict import Limits, judge
from llmrouter.settings import EngineSettings
from llmrouter.testing.upstream import Line, Script, Upstream
from llmrouter.testing.upstream_faults import named
from llmrouter.testing.upstream_openai import Chat
from llmrouter.testing.upstream_scripts import JSON, SSE, answer, event

LIMITS = Limits(late=1.0, hung=2.0)
MEANT = Meaning("one two three")
DONE = b"data: [DONE]\n\n"


def chunk(text: str = "", finish: str | None = None) -> bytes:
    return event({"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": finish}]})


def whole(text: str = MEANT.text, finish: str | None = "stop") -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish}
    return json.dumps({"choices": [choice]}).encode()


def error(status: int = 503, **more: Any) -> Answer:
    told = {"error": {"message": "no", "type": "server_error", "code": "upstream_error", **more}}
    return Answer(status, JSON, json.dumps(told).encode())


def streamed(*events: bytes, seconds: float = 0.1) -> Answer:
    return Answer(200, SSE, b"".join(events), seconds)


IN_BAND = event({"error": {"message": "broke", "type": "server_error"}})
GOOD = (chunk("one "), chunk("two three"), chunk(finish="stop"), DONE)

STREAMS: Mapping[str, tuple[Answer, str, str]] = {
    "whole": (streamed(*GOOD), "pass", ""),
    "comments": (streamed(b": hi\n\n", *GOOD), "pass", ""),
    "carriage_returns": (streamed(*(one.replace(b"\n", b"\r\n") for one in GOOD)), "pass", ""),
    "late": (streamed(*GOOD, seconds=1.5), "partial", "late"),
    "error_in_band": (streamed(chunk("one "), IN_BAND), "safe failure", "broke"),
    "error_at_once": (streamed(IN_BAND), "safe failure", "broke"),
    "error_after_another_text": (streamed(chunk("four"), IN_BAND), "fail", "nobody meant"),
    "error_and_a_clean_end": (streamed(chunk("one "), IN_BAND, DONE), "fail", "clean end"),
    "error_and_a_finish": (streamed(chunk("one ", "stop"), IN_BAND), "fail", "clean end"),
    "cut_and_clean": (streamed(chunk("one "), chunk(finish="stop"), DONE), "fail", "as if that were all"),
    "empty": (streamed(chunk(finish="stop"), DONE), "fail", "empty"),
    "twice": (streamed(chunk("one "), *GOOD), "fail", "said twice"),
    "another_text": (streamed(chunk("four"), *GOOD[2:]), "fail", "wrong text"),
    "two_finishes": (streamed(chunk("one two three", "stop"), chunk(finish="stop"), DONE), "fail", "twice"),
    "no_mark": (streamed(*GOOD[:-1]), "partial", "without its mark"),
    "no_finish": (streamed(*GOOD[:2], DONE), "fail", "without a finish"),
    "goes_on": (streamed(*GOOD, chunk("more")), "fail", "goes on"),
    "not_json": (streamed(b"data: {oops\n\n", *GOOD), "fail", "cannot be read"),
    "plain": (Answer(200, JSON, whole()), "fail", "where a stream"),
    "nothing": (Answer(broken="refused"), "fail", "no answer: refused"),
    "hung": (Answer(200, SSE, b"", 2.0, hung=True), "fail", "hangs"),
    "broken": (Answer(200, SSE, b"".join(GOOD), 0.1, "IncompleteRead"), "fail", "connection broke"),
}
PLAIN: Mapping[str, tuple[Answer, str, str]] = {
    "whole": (Answer(200, JSON, whole()), "pass", ""),
    "dropped": (Answer(200, JSON | {"x-llmrouter-dropped": "user"}, whole()), "partial", "without user"),
    "cut": (Answer(200, JSON, whole("one two")), "fail", "as if that were all"),
    "no_finish": (Answer(200, JSON, whole(finish=None)), "fail", "no finish"),
    "stream": (streamed(*GOOD), "fail", "where a plain"),
    "half": (Answer(200, JSON, whole()[:20]), "fail", "cannot be read"),
    "error": (error(), "safe failure", "upstream_error"),
    "error_in_200": (error(200), "safe failure", "in band"),
    "our_bug": (error(500), "fail", "status 500"),
    "error_without_words": (error(503, message=""), "fail", "says nothing"),
    "page": (Answer(502, {"content-type": "text/html"}, b"<h1>Bad gateway</h1>"), "fail", "cannot be read"),
    "scalar": (Answer(502, JSON, b'"oops"'), "fail", "cannot be read"),
}


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_is_judged(name: str) -> None:
    _is_judged("stream", *STREAMS[name])


@pytest.mark.parametrize("name", PLAIN)
def test_a_plain_answer_is_judged(name: str) -> None:
    _is_judged("plain", *PLAIN[name])


def _is_judged(shape: Shape, answer: Answer, verdict: str, why: str) -> None:
    found, said = judge(MEANT, shape, answer, LIMITS)
    assert (found, why in said) == (verdict, True), said


CALLS = {
    "right": ('{"said": "x"}', TOOL, "pass"),
    "cut": ('{"said": ', TOOL, "fail"),
    "other_arguments": ('{"said": "y"}', TOOL, "fail"),
    "another_tool": ('{"said": "x"}', "other", "fail"),
}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("shape", ["stream", "plain"])
def test_calls_are_compared_by_what_they_mean(name: str, shape: Shape) -> None:
    arguments, tool, verdict = CALLS[name]
    call = {"index": 0, "function": {"name": tool, "arguments": arguments}}
    said = {"index": 0, "finish_reason": "tool_calls"}
    if shape == "plain":
        made = Answer(200, JSON, json.dumps({"choices": [said | {"message": {"tool_calls": [call]}}]}).encode())
    else:
        half = {"index": 0, "function": {"arguments": arguments[5:]}}
        first = {"index": 0, "function": {"name": tool, "arguments": arguments[:5]}}
        parts = [event({"choices": [{"delta": {"tool_calls": [one]}}]}) for one in (first, half)]
        made = streamed(*parts, event({"choices": [said | {"delta": {}}]}), DONE)
    assert judge(Meaning("", ((TOOL, {"said": "x"}),)), shape, made, LIMITS)[0] == verdict


def test_limits_follow_from_the_configuration() -> None:
    """Late: the longest silence, a plain answer's allowance, and a grace. Hung: the deadline."""
    engine = EngineSettings()
    assert Limits.of(engine).late == pytest.approx(30 + 0.4 + 1.5)
    assert Limits.of(engine).hung == pytest.approx(601.5)
    assert Limits.of(engine, 21).late == pytest.approx(Limits.of(engine).late + 3)


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream(answer(200, JSON, b"{}")) as upstream:
        yield upstream


def test_what_cuts_an_answer_short_is_seen(upstream: Upstream) -> None:
    upstream.script = named("cut_late").script
    got = ask(upstream.port, Chat().asks("m", True), 5.0)
    assert (got.status, got.hung) == (200, False)
    assert "connection broke" in read(got, "stream").flaw


@pytest.mark.parametrize("name", ["hang", "slow_drip"])
def test_an_answer_that_does_not_come_is_given_up(upstream: Upstream, name: str) -> None:
    """Also one that keeps dripping, so that no single wait is too long."""
    upstream.script = named(name).script
    got = ask(upstream.port, Chat().asks("m", True), 0.3)
    assert got.hung
    assert 0.3 <= got.seconds < 2


def test_nobody_there_is_no_answer(upstream: Upstream) -> None:
    upstream.refuse()
    assert ask(upstream.port, Chat().asks("m", True), 1.0).broken.startswith("ConnectionRefusedError")


def test_no_two_requests_mean_the_same() -> None:
    assert body("m", 1, "plain", "text") != body("m", 2, "plain", "text")
    assert meaning(1, "text") != meaning(2, "text")
    assert json.loads(meaning(1, "json").text)["said"] == meaning(1, "text").text
    assert meaning(1, "tool").calls == ((TOOL, {"said": meaning(1, "text").text}),)


def test_an_upstream_answers_in_every_dialect(upstream: Upstream) -> None:
    from llmrouter.chaos.saying import speaker

    dialects: list[str] = []

    def script() -> Script:
        async def said(line: Line) -> None:
            found = speaker(line.request, "text")
            dialects.append(found.dialect if found else "")
            await answer(200, JSON, b"{}")(line)

        return said

    upstream.script = script()
    paths = ("/1/v1/chat/completions", "/v1/messages?beta=true", "/v1beta/models/x:generateContent")
    for path in (
        *paths,
        "/v1beta/models/x:streamGenerateContent?alt=sse",
        "/v1/responses",
        "/api/chat",
        "/v1/models",
    ):
        ask(upstream.port, body("m", 5, "plain", "text"), 1.0, path)
    native = ["gemini.generate"] * 2
    assert dialects == ["openai.chat", "anthropic.messages", *native, "openai.responses", "ollama.chat", ""]
