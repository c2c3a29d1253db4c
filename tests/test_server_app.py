"""The server over a real socket: paths, bodies, refusals."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import msgspec
import pytest

from llmrouter.dialects import builtin
from llmrouter.protocols import ASGIReceive, ASGIScope, ASGISend, Client
from llmrouter.types import Request

from .serving import (
    CHAT,
    HELLO,
    STREAM,
    FakeRouter,
    FakeWorld,
    Got,
    done,
    head,
    hello,
    read_answer,
    router_with,
    site,
)

JSON = {"content_type": "application/json"}


def ask(*calls: tuple[str, str, bytes], router: FakeRouter | None = None, **headers: str) -> list[Got]:
    async def main() -> list[Got]:
        async with site(router) as one:
            return [await one.call(method, path, body, **headers) for method, path, body in calls]

    return asyncio.run(main())


def post(body: bytes, router: FakeRouter | None = None, **headers: str) -> Got:
    return ask(("POST", CHAT, body), router=router, **headers)[0]


def get(path: str, router: FakeRouter | None = None, **headers: str) -> Got:
    return ask(("GET", path, b""), router=router, **headers)[0]


def test_a_plain_answer_comes_with_its_length_and_the_id_of_the_request() -> None:
    router = router_with()
    got = post(HELLO, router)
    assert (got.status, got.body) == (200, b'{"said": "hello"}')
    assert got.headers["content-length"] == str(len(got.body))
    facts = router.engine.requests[0].facts
    assert got.headers["x-request-id"] == facts.id
    assert facts.id.startswith("req_")
    assert len(facts.id) == 20
    assert (facts.client, facts.at, facts.asked, facts.op) == ("anonymous", 1_000_000_000.0, "fast", "chat")
    assert "server" not in got.headers
    assert "date" in got.headers


def test_the_id_that_the_engine_sets_is_not_doubled() -> None:
    async def answer(request: Request, client: Client) -> None:
        await done(client.start(200, {"x-request-id": "its-own", "content-length": "999"}))
        await done(client.write(b"one"))
        await done(client.write(b"two"))

    got = post(HELLO, router_with(answer))
    assert (got.headers["x-request-id"], got.headers["content-length"], got.body) == ("its-own", "6", b"onetwo")


def test_only_headers_that_the_dialect_lets_through_reach_the_request() -> None:
    router = router_with()
    post(HELLO, router, x_kept="yes", authorization="Bearer secret", cookie="c")
    assert router.engine.requests[0].headers == {"x-kept": "yes"}


def test_a_stream_is_flushed_piece_by_piece() -> None:
    async def answer(request: Request, client: Client) -> None:
        await done(client.start(200, {"content-type": "text/event-stream"}))
        await done(client.write(b"data: 1\n\n"))
        await done(client.write(b"data: 2\n\n"))

    got = post(STREAM, router_with(answer))
    assert got.body == b"data: 1\n\ndata: 2\n\n"
    assert got.headers["transfer-encoding"] == "chunked"


def test_a_refused_stream_is_a_plain_answer() -> None:
    async def answer(request: Request, client: Client) -> None:
        await done(client.start(429, {"retry-after": "3"}))
        await done(client.write(b"{}"))

    got = post(STREAM, router_with(answer))
    assert (got.status, got.headers["content-length"], got.headers["retry-after"]) == (429, "2", "3")


@pytest.mark.parametrize("path", ["/", "/health/live", "/health/ready"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_anybody_may_see_that_it_lives(method: str, path: str) -> None:
    async def main() -> tuple[int, bytes]:
        async with site() as one:
            reader, writer = await one.open()
            writer.write(head(method, path))
            answer = await reader.read()
            writer.close()
            return int(answer.split()[1]), answer.partition(b"\r\n\r\n")[2]

    status, body = asyncio.run(main())
    assert (status, bool(body)) == (200, method == "GET")


def test_not_ready_is_said_with_its_reasons() -> None:
    got = get("/health/ready", FakeRouter(fine=False))
    assert (got.status, got.json["reasons"]) == (503, ["every endpoint is held"])


def test_unknown_paths_and_wrong_methods_are_told_apart() -> None:
    nowhere, wrong, also, deep = ask(
        ("GET", "/nowhere", b""), ("GET", CHAT, b""), ("POST", "/health/live", b""), ("GET", "/v1/chat", b"")
    )
    assert (nowhere.status, nowhere.json["error"]["code"]) == (404, "not_found")
    assert set(nowhere.json["error"]) >= {"message", "type", "param", "code"}
    assert (wrong.status, wrong.headers["allow"]) == (405, "POST")
    assert (also.status, also.headers["allow"]) == (405, "GET, HEAD")
    assert deep.status == 404


def test_a_query_does_not_hide_a_path() -> None:
    assert ask(("POST", f"{CHAT}?beta=true", HELLO))[0].status == 200


def test_a_websocket_is_told_to_post() -> None:
    got = get(
        "/v1/responses",
        upgrade="websocket",
        connection="upgrade",
        sec_websocket_key="eA==",
        sec_websocket_version="13",
    )
    assert (got.status, got.json["error"]["code"]) == (426, "upgrade_required")


BAD: dict[str, bytes] = {
    "nothing": b"",
    "cut": b'{"model": "fa',
    "not an object": b"[1]",
    "not UTF-8": b'{"model": "\xff\xfe"}',
    "deep": b'{"model": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "NaN": b'{"model": "fast", "n": NaN}',
    "twice": b'{"model": "fast", "model": "slow"}',
    "wrong type": b'{"model": 7}',
    "what a dialect stumbles over": b'{"model": "bug"}',
}


@pytest.mark.parametrize("body", BAD.values(), ids=BAD)
def test_a_bad_body_is_the_clients_fault(body: bytes) -> None:
    router = router_with()
    got = post(body, router, content_length=str(len(body)))
    assert (got.status, router.engine.requests) == (400, [])
    assert got.json["error"]["by"] == got.headers["x-request-id"]


def test_what_the_engine_calls_invalid_is_refused() -> None:
    got = post(b'{"model": "nothing"}', x_llmrouter_dry_run="yes")
    assert (got.status, got.json["error"]["code"], got.json["error"]["param"]) == (404, "model_not_found", "model")


@pytest.mark.parametrize("name", [name for name in BAD if "dialect" not in name])
def test_a_bad_body_is_refused_in_the_real_envelope(name: str) -> None:
    router = FakeRouter(world=FakeWorld(dialects={one.name: one for one in builtin()}))
    got = post(BAD[name], router, content_length=str(len(BAD[name])))
    assert (got.status, router.engine.requests) == (400, [])
    assert set(got.json["error"]) >= {"message", "type", "param", "code"}
    assert got.json["error"]["type"] == "invalid_request_error"


EVERYTHING = msgspec.json.encode(
    {
        "model": "fast",
        "max_tokens": 5,
        "messages": [{"role": "user", "content": "x"}],
        "contents": [{"role": "user", "parts": [{"text": "x"}]}],
        "documents": ["x"],
        **dict.fromkeys(("prompt", "input", "query"), "x"),
    }
)
"""What every dialect can read something in: fields of others mean nothing to it."""


def test_every_path_of_the_real_dialects_is_served() -> None:
    world = FakeWorld(dialects={one.name: one for one in builtin()})
    for path in [path for one in builtin() for path in one.paths]:
        assert ask(("POST", path, EVERYTHING), router=FakeRouter(world=world))[0].status == 200, path


def test_a_compressed_body_is_not_guessed_at() -> None:
    assert post(HELLO, content_encoding="gzip").status == 415
    assert post(HELLO, content_encoding="identity").status == 200


def test_a_body_of_the_largest_size_is_read() -> None:
    body = b'{"model": "fast", "messages": "' + b"x" * (32 * 1024 * 1024 - 33) + b'"}'
    assert len(body) == 32 * 1024 * 1024
    router = router_with()
    assert post(body, router).status == 200
    assert len(router.engine.requests[0].fields["messages"]) == len(body) - 31


def test_a_body_that_is_a_little_too_large_can_still_read_its_refusal() -> None:
    got = post(b" " * 3000, router_with(max_body=1000))
    assert (got.status, got.json["error"]["code"]) == (413, "request_too_large")
    assert "connection" not in got.headers or got.headers["connection"] == "close"


def test_a_body_far_too_large_is_refused_unread() -> None:
    got = post(HELLO, router_with(max_body=1000), content_length="4000000000")
    assert (got.status, got.headers["connection"]) == (413, "close")


def test_a_body_announced_as_too_large_is_not_asked_for() -> None:
    got = post(b"", router_with(max_body=1000), content_length="1001", expect="100-continue")
    assert got.status == 413


def test_a_chunked_body_is_counted() -> None:
    async def main() -> list[int]:
        async with site(router_with(max_body=1000)) as one:
            return [(await chunked(one, size)).status for size in (100, 1100, 100_000)]

    async def chunked(one: Any, size: int) -> Got:
        reader, writer = await one.open()
        body = HELLO + b" " * size
        pieces = [b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:50], body[50:])]
        writer.write(head("POST", CHAT, transfer_encoding="chunked") + b"".join(pieces) + b"0\r\n\r\n")
        got = await read_answer(reader)
        writer.close()
        return got

    assert asyncio.run(main()) == [200, 413, 413]


def test_a_dry_run_answers_with_the_decision_and_calls_nobody() -> None:
    router = router_with()
    got = post(HELLO, router, x_llmrouter_dry_run="true")
    assert (got.status, got.json["policy"], got.json["facts"]["asked"]) == (200, "order", "fast")
    assert router.engine.requests == []
    assert post(HELLO, router, x_llmrouter_dry_run="false").body == b'{"said": "hello"}'


def test_a_bug_of_ours_is_a_500_in_the_envelope_of_the_path() -> None:
    async def answer(request: Request, client: Client) -> None:
        raise ZeroDivisionError

    got = post(HELLO, router_with(answer))
    assert (got.status, got.json["error"]["code"]) == (500, "internal_error")


def test_an_engine_that_says_nothing_is_a_bug_of_ours() -> None:
    async def answer(request: Request, client: Client) -> None:
        return

    assert post(HELLO, router_with(answer)).status == 500


def test_a_bug_in_the_middle_of_a_stream_is_an_error_in_band() -> None:
    async def answer(request: Request, client: Client) -> None:
        await done(client.start(200, {}))
        await done(client.write(b"data: 1\n\n"))
        raise ZeroDivisionError

    assert post(STREAM, router_with(answer)).body == b'data: 1\n\ndata: {"error":{"code":"internal_error"}}\n\n'


def test_too_many_at_once_are_told_when_to_come_back() -> None:
    async def main() -> tuple[Got, Got]:
        held = asyncio.Event()

        async def answer(request: Request, client: Client) -> None:
            await held.wait()
            await hello(request, client)

        async with site(router_with(answer, max_concurrency=1)) as one:
            first = asyncio.create_task(one.post())
            while not one.router.engine.requests:
                await asyncio.sleep(0)
            second = await one.post()
            held.set()
            return await first, second

    first, second = asyncio.run(main())
    assert first.status == 200
    assert (second.status, second.headers["retry-after"]) == (503, "1")
    assert second.json["error"]["code"] == "router_overloaded"


def test_a_swapped_world_serves_the_next_request() -> None:
    async def main() -> tuple[int, int]:
        router = FakeRouter(world=FakeWorld(dialects={}))
        async with site(router) as one:
            before = (await one.post()).status
            router.world = FakeWorld()
            return before, (await one.post()).status

    assert asyncio.run(main()) == (404, 200)


def test_a_page_of_a_plugin_is_mounted_with_all_below_it() -> None:
    paths: list[tuple[str, str]] = []

    async def page(scope: ASGIScope, receive: ASGIReceive, send: ASGISend) -> None:
        paths.append((scope["path"], scope["root_path"]))
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"up"})

    router = FakeRouter(pages=[("/metrics", page)])
    top, below, beside = ask(
        ("GET", "/metrics", b""), ("POST", "/metrics/a", b""), ("GET", "/metricsx", b""), router=router
    )
    assert (top.body, below.body, beside.status) == (b"up", b"up", 404)
    assert paths == [("/metrics", "/metrics"), ("/metrics/a", "/metrics")]


def test_a_connection_serves_many_requests() -> None:
    async def main() -> list[int]:
        async with site() as one:
            reader, writer = await one.open()
            seen = []
            for body in (HELLO, b"bad", HELLO):
                writer.write(head("POST", CHAT, body, connection="keep-alive") + body)
                seen.append((await read_answer(reader)).status)
            writer.close()
            return seen

    assert asyncio.run(main()) == [200, 400, 200]


# --- other servers than uvicorn


def drive(scope: dict[str, Any], *messages: dict[str, Any]) -> list[dict[str, Any]]:
    from llmrouter.server import create_app

    sent: list[dict[str, Any]] = []
    waiting = list(messages)

    async def receive() -> dict[str, Any]:
        return waiting.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    main: Coroutine[Any, Any, None] = create_app(FakeRouter())(scope, receive, send)
    asyncio.run(main)
    return sent


@pytest.mark.parametrize("length", ["-1", "1_0", "\u0663", "many"])
def test_a_length_that_is_no_number_is_refused_whoever_lets_it_through(length: str) -> None:
    headers = [(b"content-length", length.encode())]
    scope = {"type": "http", "path": CHAT, "method": "POST", "headers": headers, "query_string": b""}
    assert drive(scope)[0]["status"] == 400


def test_a_websocket_scope_is_closed_or_answered() -> None:
    connect = {"type": "websocket.connect"}
    assert drive({"type": "websocket"}, connect) == [{"type": "websocket.close", "code": 1008}]
    answered = drive({"type": "websocket", "extensions": {"websocket.http.response": {}}}, connect)
    assert answered[0]["status"] == 426


def test_a_lifespan_is_acknowledged() -> None:
    sent = drive({"type": "lifespan"}, {"type": "lifespan.startup"}, {"type": "lifespan.shutdown"})
    assert [one["type"] for one in sent] == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
