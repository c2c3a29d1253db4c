"""A client that leaves takes its upstream call with it, and the upstream is not blamed."""

from __future__ import annotations

import json
import socket
import time

import pytest

from llmrouter.testing.upstream import Line, Script, Upstream
from llmrouter.testing.upstream_faults import named
from llmrouter.testing.upstream_openai import TEXT, chat
from tests.calling import at_once
from tests.faults.setups import config
from tests.harness import Serving, serving

LONG = {"timeouts": {"headers": "30s", "ttft_hard": "30s", "idle": "30s"}}
WITHIN = 1.0

MOMENTS: dict[str, tuple[Script, bool]] = {
    "before_the_headers": (Line.pause, False),
    "before_the_headers_of_a_stream": (Line.pause, True),
    "after_the_headers": (named("hang_after_headers").script, True),
    "in_the_middle_of_a_stream": (chat(TEXT * 50, delay=0.02), True),
    "in_a_stalled_stream": (named("stall_late").script, True),
    "in_a_plain_answer": (named("stall_late").script, False),
}


def send(router: Serving, stream: bool, model: str = "p/m") -> socket.socket:
    body = {"model": model, "messages": [{"role": "user", "content": "x"}], "stream": stream}
    data = json.dumps(body).encode()
    host, port = router.base_url.removeprefix("http://").split(":")
    line = socket.create_connection((host, int(port)), 5)
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
    line.sendall(f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data)
    return line


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_client_that_leaves_cancels_its_upstream_call(moment: str) -> None:
    script, stream = MOMENTS[moment]
    with Upstream(script) as upstream, serving(config({"p": upstream.base_url}, {}, engine=LONG)) as router:
        with send(router, stream) as line:
            assert upstream.until(lambda: upstream.requests)
            if moment in ("in_the_middle_of_a_stream", "in_a_stalled_stream"):
                _until_data(line)
            left = time.monotonic()
        [request] = upstream.requests
        assert upstream.until(lambda: request.left, 5)
        assert request.left is not None
        assert request.left - left < WITHIN


def _until_data(line: socket.socket) -> None:
    seen = b""
    while b"data:" not in seen:
        part = line.recv(65536)
        assert part, seen
        seen += part


def test_clients_that_leave_open_no_breaker_and_leave_nothing_behind() -> None:
    with Upstream(Line.pause) as upstream, serving(config({"p": upstream.base_url}, {}, engine=LONG)) as router:
        before = router.tasks()

        def leave(_: int) -> None:
            send(router, stream=True).close()

        at_once(60, leave, 10)
        upstream.until(lambda: len(upstream.requests) == 60 and all(one.left for one in upstream.requests))
        upstream.script = chat()
        assert router.chat("p/m").text == TEXT
        router.close()
        assert _settles(router, before)


def _settles(router: Serving, before: int) -> bool:
    """Whether the number of tasks comes down to what it was."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        if router.tasks() <= before:
            return True
    return False
