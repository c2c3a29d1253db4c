"""The scripted upstream does what its scripts say, seen from a socket."""

from __future__ import annotations

import http.client
import json
import random
import socket
import struct
import threading
import time
from contextlib import closing

import pytest

from llmrouter.testing.upstream import Line, Received, Upstream
from llmrouter.testing.upstream_faults import faults, named
from llmrouter.testing.upstream_openai import TEXT, chat, embeddings
from llmrouter.testing.upstream_scripts import (
    DONE,
    JSON,
    SSE,
    alternating,
    answer,
    chosen,
    cuts,
    event,
    flapping,
    in_turn,
    replay,
    stream,
)
from tests.calling import Answer, Caller

PLAIN = {"model": "m", "messages": []}


def connect(upstream: Upstream, timeout: float = 5.0) -> socket.socket:
    return socket.create_connection(("127.0.0.1", upstream.port), timeout)


def ask(line: socket.socket, body: bytes = b"{}") -> None:
    line.sendall(
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    )


def call(upstream: Upstream, body: object = PLAIN, path: str = "/v1/chat/completions") -> Answer:
    caller = Caller(upstream.base_url, 5)
    try:
        return caller.post(path, body)
    finally:
        caller.close()


def test_an_answer_arrives_as_scripted_and_the_request_is_kept() -> None:
    with Upstream(answer(201, {"content-type": "text/x", "x-a": "b"}, b"hello")) as upstream:
        got = call(upstream, {"model": "some-model", "stream": True}, "/v1/x?y=1")
    assert (got.status, got.body, got.headers["x-a"]) == (201, b"hello", "b")
    [request] = upstream.requests
    assert (request.method, request.path, request.json["model"], request.stream) == (
        "POST",
        "/v1/x?y=1",
        "some-model",
        True,
    )
    assert request.headers["content-type"] == "application/json"
    assert request.left is None
    assert request.ended is not None
    assert request.ended >= request.at


def test_a_body_that_is_no_json_object_asks_for_no_stream() -> None:
    assert not any(Received("POST", "/", {}, body, 0.0, 1).stream for body in (b"", b"nonsense", b"[]", b"\xff"))


def test_one_connection_serves_many_requests() -> None:
    with Upstream(answer(200, JSON, {"a": 1})) as upstream:
        caller = Caller(upstream.base_url)
        assert [caller.post("/", {}).json for _ in range(3)] == [{"a": 1}] * 3
        assert caller.get("/models").status == 200
        caller.close()
    assert [request.connection for request in upstream.requests] == [1] * 4
    upstream.clear()
    assert upstream.requests == []


def test_a_chunked_request_is_understood() -> None:
    with Upstream(answer(200)) as upstream, connect(upstream) as line:
        line.sendall(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n")
        assert line.recv(100).startswith(b"HTTP/1.1 200 ")
    assert upstream.requests[0].body == b"abcde"


def test_events_arrive_one_by_one() -> None:
    with Upstream(stream([event({"n": n}) for n in range(3)], delay=0.03)) as upstream, connect(upstream) as line:
        ask(line)
        seen: list[tuple[bytes, float]] = []
        while not seen or not seen[-1][0].endswith(b"0\r\n\r\n"):
            seen.append((line.recv(65536), time.monotonic()))
    assert b"".join(part for part, _ in seen).count(b"data: {") == 3
    assert seen[-1][1] - seen[0][1] > 0.05


def test_a_replay_gives_the_same_bytes_however_they_are_cut() -> None:
    body = 'data: {"x": "häß…"}\n\n'.encode() * 40
    for seed in range(20):
        with Upstream(replay(200, SSE, body, random.Random(seed))) as upstream:
            assert call(upstream).body == body


def test_cuts_fall_anywhere_and_lose_nothing() -> None:
    body = bytes(range(200))
    every = {tuple(len(piece) for piece in cuts(body, random.Random(seed))) for seed in range(50)}
    assert len(every) > 40
    assert all(b"".join(cuts(body, random.Random(seed))) == body for seed in range(50))
    assert cuts(b"", random.Random(1)) == []
    assert all(piece for seed in range(50) for piece in cuts(b"ab", random.Random(seed)))


def test_scripts_can_be_chosen_taken_in_turn_and_alternate() -> None:
    good, bad = answer(200), answer(500)
    by_path = chosen(lambda request: good if request.path == "/good" else bad)
    with Upstream(by_path) as upstream:
        assert [call(upstream, {}, path).status for path in ("/good", "/x", "/good")] == [200, 500, 200]
        upstream.script = in_turn(bad, bad, good)
        assert [call(upstream).status for _ in range(4)] == [500, 500, 200, 200]
        upstream.script = alternating(good, bad, each=2)
        assert [call(upstream).status for _ in range(6)] == [200, 200, 500, 500, 200, 200]


def test_flapping_goes_by_time() -> None:
    script = flapping(answer(200), answer(500), every=2.0)
    statuses: list[int] = []

    class Told:
        def __init__(self, at: float) -> None:
            self.request = Received("GET", "/", {}, b"", at, 1)

        async def head(self, status: int, *_: object) -> None:
            statuses.append(status)

        async def body(self, data: bytes) -> None:
            assert data == b""

    for at in (100.0, 101.9, 102.1, 103.9, 104.1):
        with pytest.raises(StopIteration):
            script(Told(at)).send(None)  # type: ignore[arg-type, attr-defined]
    assert statuses == [500, 500, 200, 200, 500]


def test_a_refusing_upstream_resets_what_is_open_and_comes_back_on_its_port() -> None:
    with Upstream(Line.pause) as upstream:
        port = upstream.port
        with connect(upstream) as line:
            ask(line)
            assert upstream.until(lambda: upstream.requests)
            upstream.refuse()
            assert _ended(line)
        with pytest.raises(ConnectionRefusedError):
            connect(upstream)
        upstream.refuse()
        upstream.accept()
        upstream.script = answer(200)
        assert upstream.port == port
        assert call(upstream).status == 200


def _ended(line: socket.socket) -> bool:
    try:
        return line.recv(1) == b""
    except ConnectionResetError:
        return True


def test_a_client_that_hangs_up_is_noticed_at_once() -> None:
    with Upstream(Line.pause) as upstream:
        line = connect(upstream)
        ask(line)
        assert upstream.until(lambda: upstream.requests)
        closed = time.monotonic()
        line.close()
        [request] = upstream.requests
        assert upstream.until(lambda: request.left)
        assert request.left is not None
        assert request.left - closed < 1


def test_a_client_may_tear_its_connection_down_between_two_requests() -> None:
    with Upstream(answer(200)) as upstream:
        with connect(upstream) as line:
            ask(line)
            assert line.recv(100)
            line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        assert call(upstream).status == 200
    assert [request.left for request in upstream.requests] == [None, None]


def test_waiting_in_vain_says_so() -> None:
    with Upstream(answer(200)) as upstream:
        assert not upstream.until(lambda: upstream.requests, timeout=0.01)


def test_a_script_that_breaks_is_shown_when_the_context_is_left() -> None:
    async def broken(line: Line) -> None:
        raise ZeroDivisionError("my own mistake")

    def use() -> None:
        with Upstream(broken) as upstream:
            with pytest.raises(ConnectionError):
                call(upstream)
            assert upstream.until(lambda: upstream.errors)

    with pytest.raises(ZeroDivisionError, match="my own mistake"):
        use()


def test_an_upstream_that_stands_idle_ends_without_ado() -> None:
    before = threading.active_count()
    with Upstream(answer(200)) as upstream, closing(connect(upstream)):
        pass
    assert threading.active_count() == before


def test_a_healthy_chat_answers_in_the_shape_asked_for() -> None:
    with Upstream(chat()) as upstream:
        plain = call(upstream, PLAIN)
        streamed = call(upstream, {**PLAIN, "stream": True})
        counted = call(upstream, {**PLAIN, "stream": True, "stream_options": {"include_usage": True}})
    assert plain.text == streamed.text == TEXT
    assert plain.json["usage"]["total_tokens"] == 25
    assert streamed.data[-1] == "[DONE]"
    assert not any("usage" in one for one in streamed.events)
    assert counted.events[-1]["choices"] == []
    assert counted.events[-1]["usage"]["total_tokens"] == 25


def test_a_healthy_chat_calls_tools_in_fragments() -> None:
    tools = [("call_a", "look", '{"where": "here"}'), ("call_b", "listen", "{}")]
    with Upstream(chat(tools=tools)) as upstream:
        plain = call(upstream, PLAIN)
        streamed = call(upstream, {**PLAIN, "stream": True})
    assert [one["id"] for one in plain.json["choices"][0]["message"]["tool_calls"]] == ["call_a", "call_b"]
    parts = [part for one in streamed.events for part in one["choices"][0]["delta"].get("tool_calls", ())]
    for index, (_, _, arguments) in enumerate(tools):
        assert "".join(part["function"]["arguments"] for part in parts if part["index"] == index) == arguments
    assert streamed.events[-1]["choices"][0]["finish_reason"] == "tool_calls"


def test_embeddings_are_answered_as_floats() -> None:
    with Upstream(embeddings([[0.5, 1.0]])) as upstream:
        got = call(upstream, {"model": "m", "input": "x"}, "/v1/embeddings")
    assert got.json["data"] == [{"object": "embedding", "index": 0, "embedding": [0.5, 1.0]}]


# --- the catalogue


ALL = {fault.name: fault for fault in faults()}
SILENT = ["hang", "hang_after_headers", "stall_early", "stall_late"]
ENDLESS = ["endless_headers", "slow_drip"]
SHAPES = [(name, shape) for name in ALL for shape in ALL[name].shapes]


def test_every_fault_has_a_name_of_its_own_and_a_class() -> None:
    assert len(ALL) == len(list(faults()))
    assert all(fault.kinds for fault in faults())
    assert named("hang").name == "hang"
    with pytest.raises(KeyError):
        named("bliss")


@pytest.mark.parametrize(("name", "shape"), SHAPES)
def test_every_fault_spoils_the_answer(name: str, shape: str) -> None:
    with Upstream(ALL[name].script) as upstream, connect(upstream, 0.3) as line:
        ask(line, json.dumps({**PLAIN, "stream": shape == "stream"}).encode())
        assert not _whole(line)


def _whole(line: socket.socket) -> bool:
    """Whether a chat client would take it for a whole answer."""
    response = http.client.HTTPResponse(line)
    size, pieces, deadline = 0, [], time.monotonic() + 1
    try:
        response.begin()
        while time.monotonic() < deadline and (piece := response.read1(1 << 20)):
            size += len(piece)
            pieces.append(piece if size < 1 << 20 else b"")
    except (OSError, http.client.HTTPException, ValueError):
        return False
    body = b"".join(pieces)
    if (
        response.status != 200
        or time.monotonic() >= deadline
        or size > 1 << 20
        or response.headers["content-encoding"]
    ):
        return False
    if body.startswith(b"data: {"):
        blocks = [block for block in body.decode().split("\n\n") if block.startswith("data: {")]
        return b'"finish_reason":"stop"' in body and all(_is_chunk(block[6:]) for block in blocks)
    return _is_chunk(body.decode(errors="replace"))


def _is_chunk(text: str) -> bool:
    try:
        return "choices" in json.loads(text)
    except (ValueError, TypeError):
        return False


@pytest.mark.parametrize("name", [*SILENT, *ENDLESS])
def test_a_fault_without_end_ends_when_the_client_hangs_up(name: str) -> None:
    with Upstream(ALL[name].script) as upstream:
        with connect(upstream) as line:
            ask(line, json.dumps({**PLAIN, "stream": True}).encode())
            assert upstream.until(lambda: upstream.requests)
        assert upstream.until(lambda: upstream.requests[0].ended)
        assert upstream.requests[0].left is not None


@pytest.mark.parametrize("name", ["stall_early", "stall_late", "reset_early", "reset_late", "cut_late", "eof_late"])
def test_late_faults_come_after_the_first_output_and_early_ones_before(name: str) -> None:
    with Upstream(ALL[name].script) as upstream, connect(upstream, 0.3) as line:
        ask(line, json.dumps({**PLAIN, "stream": True}).encode())
        seen = b""
        try:
            while part := line.recv(65536):
                seen += part
        except OSError:
            pass
    assert b'"role":"assistant"' in seen
    assert (b'"content":"Sixteen"' in seen) == ALL[name].late


def test_the_forms_of_a_hint_are_all_there() -> None:
    hints = set()
    for name in (name for name in ALL if name.startswith("status_429")):
        with Upstream(ALL[name].script) as upstream:
            got = call(upstream)
        assert got.status == 429
        hints |= {key for key in got.headers if key.startswith(("retry-after", "x-ratelimit"))}
    assert hints >= {"retry-after", "retry-after-ms", "x-ratelimit-reset-requests"}


def test_a_done_mark_is_what_clients_look_for() -> None:
    assert DONE == b"data: [DONE]\n\n"
