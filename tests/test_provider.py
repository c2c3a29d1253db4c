from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import llmrouter.provider
from llmrouter.errors import LLMRouterError, TransportError
from llmrouter.http import open_transport
from llmrouter.protocols import BuildContext
from llmrouter.provider import (
    FAMILIES,
    AccountSettings,
    ErrorRule,
    HTTPProvider,
    MockTransport,
    ModelSettings,
    ProviderSettings,
    Request,
    Response,
    Said,
    Secret,
    accounts_of,
    base_url_of,
    card_of,
    classify,
    moment,
    read_error,
    redacted,
    retry_at,
    sightings,
)
from llmrouter.testing import run
from llmrouter.testing.context import FakeContext
from llmrouter.types import Call, Card, Endpoint, Fields, Price, Wire

NOW = 1_790_000_000.0  # 2026-09-21T14:13:20Z
KEY = "topsecret-0123456789"


def test_the_front_door_offers_what_it_says() -> None:
    assert all(hasattr(llmrouter.provider, name) for name in llmrouter.provider.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        llmrouter.provider.nothing  # noqa: B018 (the attribute is what is tested)


# --- when to come back


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("7", 7),
        ("7.66", 7.66),
        (" 0 ", 0),
        ("12ms", 0.012),
        ("6m0s", 360),
        ("1h2m3s", 3723),
        ("2m59.56s", 179.56),
        ("1d", 86_400),
        ("500us", 0.0005),
        ("500µs", 0.0005),
        ("1790000060", 60),
        ("1790000060000", 60),
        ("2026-09-21T14:14:20Z", 60),
        ("2026-09-21T14:14:20", 60),
        ("2026-09-21 22:14:20+08:00", 60),
        ("Mon, 21 Sep 2026 14:14:20 GMT", 60),
    ],
)
def test_a_point_in_time_is_read_in_every_form(text: str, seconds: float) -> None:
    assert moment(text, NOW) == pytest.approx(NOW + seconds, abs=1e-3)


@pytest.mark.parametrize(
    "text",
    ["", "-1", "nan", "inf", "1e400", "soon", "REDACTED", "99999999", "9999999999999", "-", ",", "2026-99-99"],
)
def test_what_is_no_point_in_time_is_none(text: str) -> None:
    assert moment(text, NOW) is None


@given(st.text(max_size=40))
def test_nothing_is_too_strange_to_be_a_point_in_time(text: str) -> None:
    at = moment(text, NOW)
    assert at is None or at - NOW <= 32 * 86_400


@pytest.mark.parametrize(
    ("headers", "message", "seconds"),
    [
        ({"retry-after": "12"}, "", 12),
        ({"retry-after": "0.5"}, "", 0.5),
        ({"retry-after": "Mon, 21 Sep 2026 14:14:20 GMT"}, "", 60),
        ({"retry-after-ms": "174", "retry-after": "1"}, "", 0.174),
        ({"retry-after": "0"}, "", 0.1),
        ({"retry-after": "9999999"}, "", None),
        ({"retry-after": "200000"}, "", 86_400),
        ({"retry-after": "-1"}, "", None),
        ({}, "Please try again in 1m9.696s.", 69.696),
        ({}, "Please try again in 6ms. Visit https://x", 0.1),
        ({}, "Please retry in 20.22s", 20.22),
        ({}, "reached max request: 3, please try again after 1 seconds", 1),
        ({}, "Try again in 2 hours 5 minutes", 7500),
        ({}, "Wait for 3 days", 86_400),
        ({}, "Limit 30000, Used 18928", None),
        ({}, "try again later", None),
        ({"retry-after": "3"}, "try again in 9s", 3),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "6m0s"}, "", 360),
        ({"x-ratelimit-remaining-tokens": "9", "x-ratelimit-reset-tokens": "6m0s"}, "", None),
        ({"x-ratelimit-remaining-tokens": "0"}, "", None),
    ],
)
def test_a_hint_is_found_wherever_it_stands(
    headers: Mapping[str, str], message: str, seconds: float | None
) -> None:
    at = retry_at(headers, message, NOW, FAMILIES["openai"])
    assert at == (None if seconds is None else pytest.approx(NOW + seconds, abs=1e-3))


# --- limits


def test_limits_are_read_from_the_headers_of_a_family() -> None:
    headers = {
        "x-ratelimit-limit-requests": "14400",
        "x-ratelimit-remaining-requests": "14370",
        "x-ratelimit-reset-requests": "2m59.56s",
        "x-ratelimit-limit-tokens": "18000",
        "x-ratelimit-remaining-tokens": "17997",
        "x-ratelimit-reset-tokens": "7.66s",
    }
    requests, tokens = sightings(headers, FAMILIES["groq"], NOW)
    assert (requests.unit, requests.window, requests.limit, requests.remaining) == ("requests", "day", 14400, 14370)
    assert (tokens.unit, tokens.window, tokens.scope) == ("tokens", "minute", "account_model")
    assert tokens.resets_at == pytest.approx(NOW + 7.66)


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_every_family_reads_its_own_headers(family: str) -> None:
    headers = {
        name: value
        for one in FAMILIES[family]
        for name, value in {one.limit: "100", one.remaining: "40", one.reset: "5"}.items()
    }
    found = sightings(headers, FAMILIES[family], NOW)
    assert len(found) == len(FAMILIES[family])
    assert {(one.limit, one.remaining, one.resets_at) for one in found} <= {(100, 40, NOW + 5)}


def test_a_limit_that_nobody_knows_is_not_seen() -> None:
    headers = {"x-ratelimit-limit-requests": "-1", "x-ratelimit-limit-tokens": "X-RATELIMIT-XXX"}
    assert sightings(headers, FAMILIES["openai"], NOW) == ()
    (unlimited,) = sightings(
        {"x-ratelimit-limit-requests": "0", "x-ratelimit-remaining-requests": "5"}, FAMILIES["openai"], NOW
    )
    assert (unlimited.limit, unlimited.remaining) == (None, 5)


# --- error bodies


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (
            {"error": {"message": "m", "type": "t", "param": "p", "code": "c"}},
            Said(message="m", type="t", code="c", param="p"),
        ),
        ([{"error": {"message": "m", "code": 404, "status": "S"}}], Said(message="m", type="S", code="404")),
        ({"error": {"message": "m", "type": None, "param": 3, "code": True}}, Said(message="m")),
        ({"detail": "no"}, Said(message="no")),
        (
            {"detail": [{"loc": ["body", "n"], "msg": "too many"}, {"loc": ["x"]}, "odd"]},
            Said(message="body.n: too many; odd"),
        ),
        ({"message": "m", "type": "t", "code": "c"}, Said(message="m", type="t", code="c")),
        ({"object": "error", "message": "m", "code": 40001}, Said(message="m", code="40001")),
        ({"code": "c", "error": "text"}, Said(message="text", code="c")),
        ("text", Said(message="text")),
        ([], Said(message="[]")),
        (None, Said(message="null")),
        ({"error": {}}, Said(message='{"error":{}}')),
        ({"error": {"message": {"a": 1}}}, Said(message='{"error":{"message":{"a":1}}}')),
    ],
)
def test_every_envelope_of_an_error_is_opened(body: Any, said: Said) -> None:
    assert read_error(msgspec.json.encode(body)) == said


def test_a_body_that_is_no_json_is_its_text() -> None:
    assert read_error(b"upstream connect error\r\n").message == "upstream connect error"
    page = b"<html><style>p {}</style><body><h1>502 Bad Gateway</h1><hr>\n<p>nginx</p></body></html>"
    assert read_error(page).message == "502 Bad Gateway nginx"
    assert read_error(b"\xff\xfe" * 3).message
    assert read_error(b"[" * 100_000).message == "[" * 2048
    assert read_error(b"") == Said()


def test_a_message_is_cut_and_says_no_secret() -> None:
    long = {"error": {"message": f"{KEY} " + "x" * 5000, "code": KEY, "type": "t" * 500, "param": f"a.{KEY}"}}
    said = read_error(msgspec.json.encode(long), [KEY])
    assert len(said.message) == 2048
    assert (said.code, said.param, len(said.type)) == ("…", "a.…", 120)
    assert KEY not in repr(said)


@pytest.mark.parametrize(
    "text", ["Bearer abc.def", "sk-proj-abcdef123", "gsk_abcdef", "AIzaSyA1234567890", "key sk-abcd*****wxyz."]
)
def test_what_looks_like_a_key_is_left_out(text: str) -> None:
    assert "abc" not in redacted(text)
    assert "SyA" not in redacted(text)


def test_ordinary_words_stay() -> None:
    text = "The task-force asked hf:org/model for gpt-oss-120b; risk-free"
    assert redacted(text) == text


# --- what it means


@pytest.mark.parametrize(
    ("status", "kind", "scope"),
    [
        (301, "not_found", "endpoint"),
        (400, "invalid_request", "request"),
        (401, "auth", "account"),
        (402, "payment", "account"),
        (403, "forbidden_model", "account_model"),
        (404, "not_found", "endpoint"),
        (408, "timeout_headers", "endpoint"),
        (413, "context_length", "request"),
        (418, "invalid_request", "request"),
        (422, "invalid_request", "request"),
        (429, "rate_limited", "account_model"),
        (500, "server_error", "endpoint"),
        (501, "invalid_request", "request"),
        (503, "server_error", "endpoint"),
        (524, "server_error", "endpoint"),
        (529, "overloaded", "endpoint"),
        (200, "server_error", "endpoint"),
    ],
)
def test_a_status_means_what_the_table_says(status: int, kind: str, scope: str) -> None:
    failure = classify(status, Said("m", "t"))
    assert (failure.kind, failure.scope, failure.status, failure.code) == (kind, scope, status, "t")


def test_a_long_hint_means_that_a_quota_is_used_up() -> None:
    assert classify(429, Said(), now=NOW, retry_at=NOW + 120).kind == "rate_limited"
    longer = classify(429, Said(), now=NOW, retry_at=NOW + 121)
    assert (longer.kind, longer.retry_at) == ("quota_exhausted", NOW + 121)


def test_a_hint_makes_a_503_an_overload_and_does_not_let_a_key_back_in() -> None:
    assert classify(503, Said(), now=NOW, retry_at=NOW + 1).kind == "overloaded"
    assert classify(401, Said(), now=NOW, retry_at=NOW + 1).retry_at is None


def test_an_error_inside_a_good_status_may_name_its_own() -> None:
    assert classify(200, Said(code="429")).kind == "rate_limited"
    assert classify(200, Said(code="1113")).kind == "server_error"
    assert classify(200, Said(code="9" * 5000)).status == 200


def test_the_first_rule_that_matches_counts() -> None:
    rules = [
        ErrorRule(kind="payment", status=frozenset({429}), code=frozenset({"a", "b"})),
        ErrorRule(kind="overloaded", type=frozenset({"busy"}), scope="provider"),
        ErrorRule(kind="context_length", text=re.compile("too long", re.IGNORECASE)),
    ]
    assert classify(429, Said(code="b"), rules).kind == "payment"
    assert classify(400, Said(code="b"), rules).kind == "invalid_request"
    assert classify(429, Said(code="b", type="busy"), rules).kind == "payment"
    assert classify(400, Said(type="busy"), rules).scope == "provider"
    assert classify(400, Said(message="it is Too Long"), rules).kind == "context_length"


# --- settings


@pytest.mark.parametrize(
    ("text", "base"),
    [
        ("https://a.b", "https://a.b/v1"),
        ("https://a.b/", "https://a.b/v1"),
        (" https://a.b/v1/ ", "https://a.b/v1"),
        ("https://a.b/v1/chat/completions", "https://a.b/v1"),
        ("https://a.b/api/paas/v4", "https://a.b/api/paas/v4"),
        ("https://a.b/v1beta/openai/", "https://a.b/v1beta/openai"),
        ("https://a.b/openai/v1/models", "https://a.b/openai/v1"),
        ("https://a.b/vault", "https://a.b/vault/v1"),
        ("http://[::1]:8000", "http://[::1]:8000/v1"),
    ],
)
def test_an_address_is_the_same_however_it_is_written(text: str, base: str) -> None:
    assert base_url_of(text) == base


def test_an_address_without_versions_stays_as_it_is() -> None:
    assert base_url_of("https://a.b/openai", None) == "https://a.b/openai"


@pytest.mark.parametrize(
    "text", ["a.b/v1", "ftp://a.b", "https://", "https://u:p@a.b", "https://a.b?key=k", "http://a#b"]
)
def test_what_is_no_address_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(ValueError, match="base_url must") as caught:
        base_url_of(text)
    assert "u:p" not in str(caught.value)


def settings(*accounts: AccountSettings, **more: Any) -> ProviderSettings:
    return ProviderSettings(name="acme", plugin="acme", accounts=accounts, **more)


ONE = AccountSettings(id="acme", api_key=Secret(KEY))


def test_accounts_without_a_group_share_it_with_nobody() -> None:
    found = accounts_of(
        settings(
            ONE,
            AccountSettings(id="b", weight=2.0),
            AccountSettings(id="c", quota_group="shared"),
            AccountSettings(id="d", enabled=False),
        )
    )
    assert [(one.id, one.group, one.weight) for one in found] == [
        ("acme", "acme", 1.0),
        ("b", "acme/b", 2.0),
        ("c", "shared", 1.0),
    ]


def test_what_the_configuration_says_of_a_model_wins() -> None:
    known = Card(
        abilities=frozenset({"tools"}), window=10, max_output=5, price=Price(input=1, output=2), quality=0.9
    )
    assert card_of(known, None) is known
    assert card_of(known, ModelSettings()) == known
    free = Price(input=0, output=0)
    said = ModelSettings(price=free, context_window=20, max_output=6, abilities=frozenset(), quality=0.0)
    assert card_of(known, said) == Card(abilities=frozenset(), window=20, max_output=6, price=free, quality=0.0)


# --- carrying


class Acme(HTTPProvider):
    def __init__(self, settings: ProviderSettings, context: BuildContext, **how: Any) -> None:
        super().__init__(
            settings, context, base_url="http://acme.example/v1", paths={"openai.chat": "/chat"}, **how
        )


def acme(answer: Callable[[Request], Response], *accounts: AccountSettings, **how: Any) -> Acme:
    context = FakeContext("acme", transport=MockTransport(answer), clock=lambda: NOW)
    return Acme(settings(*(accounts or (ONE,))), context, **how)


def call(account: str = "acme", headers: Mapping[str, str] | None = None) -> Call:
    accounts = accounts_of(settings(ONE, AccountSettings(id="b")))
    endpoint = Endpoint(provider="acme", model="m", dialects=("openai.chat",), accounts=accounts)
    return Call(
        endpoint=endpoint,
        account=next(one for one in accounts if one.id == account),
        op="chat",
        wire=Wire("openai.chat", False),
        fields={"model": msgspec.Raw(b'"m"'), "n": msgspec.Raw(b"1.0")},
        headers=headers or {},
        timeout=7.0,
    )


def test_a_bent_call_says_what_its_vendor_was_not_told() -> None:
    class Bending(HTTPProvider):
        def bend(self, call: Call) -> Fields:
            fields = {name: value for name, value in call.fields.items() if name != "seed"}
            fields["max_tokens"] = fields.pop("max_completion_tokens")
            return fields | {"messages": msgspec.Raw(b"[]")}

    async def main() -> None:
        transport = MockTransport(lambda request: Response(200, content=b"{}"))
        house = FakeContext("acme", transport=transport)
        paths = {"openai.chat": "/chat"}
        provider = Bending(settings(ONE), house, base_url="http://acme.example/v1", paths=paths)
        plain = call()
        names = ("seed", "max_completion_tokens", "messages")
        fields = plain.fields | {name: msgspec.Raw(b"1") for name in names}
        reply = await provider.send(msgspec.structs.replace(plain, fields=fields))
        assert reply.dropped == ("seed",)
        reply.close()

    run(main())


def test_a_call_is_sent_with_its_credentials_and_its_bytes() -> None:
    async def main() -> None:
        seen: list[Request] = []

        def answer(request: Request) -> Response:
            seen.append(request)
            return Response(200, headers=[("X-One", "1"), ("x-two", "a"), ("X-Two", "b")], content=b"hello")

        provider = acme(answer, ONE, AccountSettings(id="b"))
        reply = await provider.send(call(headers={"X-Extra": "é", "Authorization": "Bearer mine"}))
        assert (reply.status, reply.headers["x-one"], reply.headers["x-two"]) == (200, "1", "a, b")
        assert [chunk async for chunk in reply.chunks()] == [b"hello"]
        reply.close()
        (await provider.send(call("b"))).close()
        first, second = seen
        assert (first.method, str(first.url), first.headers["host"]) == (
            "POST",
            "http://acme.example/v1/chat",
            "acme.example",
        )
        assert first.headers.get_list("authorization") == [f"Bearer {KEY}"]
        assert first.headers["content-length"] == str(len(first.content))
        assert (first.headers["content-type"], first.headers["accept-encoding"]) == ("application/json", "identity")
        assert first.headers["x-extra"].encode("latin-1") == "é".encode("latin-1")
        assert first.read() == b'{"model":"m","n":1.0}'
        assert "authorization" not in second.headers

    run(main())


def test_past_httpx_a_call_is_sent_with_the_same_bytes() -> None:
    async def main() -> None:
        got: list[bytes] = []

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with closing(writer), suppress(asyncio.IncompleteReadError):
                while head := await reader.readuntil(b"\r\n\r\n"):
                    got.append(head + await reader.readexactly(len(b'{"model":"m","n":1.0}')))
                    writer.write(b"HTTP/1.1 200 OK\r\nX-One: 1\r\nx-one: 2\r\ncontent-length: 2\r\n\r\nok")

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with server, open_transport(connect=5, limit=None) as transport:
            context = FakeContext("acme", transport=transport)
            paths = {"openai.chat": "/chat"}
            provider = HTTPProvider(settings(ONE), context, base_url=f"http://{address}/v1", paths=paths)
            for extra in ({}, {"X-Extra": "é", "Authorization": "Bearer mine"}):
                reply = await provider.send(call(headers=extra))
                assert (reply.status, reply.headers["x-one"]) == (200, "1, 2")
                assert [chunk async for chunk in reply.chunks()] == [b"ok"]
                reply.close()
            with pytest.raises(TransportError, match="line break"):
                await provider.send(call(headers={"x-extra": "a\r\nb: c"}))
        first, second = got
        assert first.startswith(f"POST /v1/chat HTTP/1.1\r\nhost: {address}\r\n".encode())
        assert first.endswith(b'content-length: 21\r\n\r\n{"model":"m","n":1.0}')
        assert first.count(f"authorization: Bearer {KEY}\r\n".encode()) == 1
        assert second == first.replace(b"\r\n\r\n", b"\r\nx-extra: \xe9\r\n\r\n")

    asyncio.run(main())


def test_an_answer_that_was_closed_gives_nothing() -> None:
    async def main() -> None:
        reply = await acme(lambda request: Response(200, content=b"hello")).send(call())
        reply.close()
        assert [chunk async for chunk in reply.chunks()] == []

    run(main())


def test_an_answer_is_judged_by_rules_and_by_its_status() -> None:
    provider = acme(
        lambda request: Response(200),
        rules=[ErrorRule(kind="payment", code=frozenset({"poor"}))],
        family=FAMILIES["openai"],
    )
    good = provider.judge(200, {"x-ratelimit-remaining-requests": "3"}, b"")
    assert good.failure is None
    assert [one.remaining for one in good.sightings] == [3]
    bad = provider.judge(429, {"retry-after": "2"}, b'{"error": {"message": "%s"}}' % KEY.encode()).failure
    assert bad is not None
    assert (bad.kind, bad.retry_at, bad.message) == ("rate_limited", NOW + 2, "…")
    inside = provider.judge(200, {}, b'{"error": {"code": "poor"}}').failure
    assert inside is not None
    assert inside.kind == "payment"


def test_a_redirect_says_where_the_upstream_went() -> None:
    provider = acme(lambda request: Response(200))
    failure = provider.judge(308, {"location": "https://new.example/v1?token=t"}, b"<html>moved</html>").failure
    assert failure is not None
    assert failure.message == "The upstream has moved to https://new.example/v1: write its address into base_url"


def test_secrets_are_not_shown() -> None:
    provider = acme(lambda request: Response(200), AccountSettings(id="acme", api_key=Secret(f" {KEY}\n")))
    failure = provider.judge(401, {}, f"no such key: {KEY}".encode()).failure
    assert failure
    assert KEY not in failure.message
    assert KEY not in repr(provider)
    assert repr(provider) == "<Acme acme>"


def test_a_look_up_gives_json() -> None:
    async def main() -> Any:
        return await acme(lambda request: Response(200, json=[request.method, request.url.path])).fetch(
            "/m", "acme"
        )

    assert run(main()) == ["GET", "/v1/m"]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Response(401, json={"error": {"message": "no"}}), "acme: auth: no"),
        (Response(200, content=b"<html>"), "gave no JSON"),
        (Response(200, content=b"x" * (17 * 1024 * 1024)), "more than"),
    ],
)
def test_a_look_up_that_fails_says_why(answer: Response, said: str) -> None:
    async def main() -> None:
        await acme(lambda request: answer).fetch("/m", "acme")

    with pytest.raises(LLMRouterError, match=said):
        run(main())


def test_a_look_up_does_not_take_for_ever() -> None:
    async def never(request: Request) -> Response:
        await asyncio.Event().wait()
        raise AssertionError

    async def main() -> None:
        context = FakeContext("acme", transport=MockTransport(never))
        await Acme(settings(ONE), context).fetch("/m", "acme")

    with pytest.raises(TransportError):
        run(main())
