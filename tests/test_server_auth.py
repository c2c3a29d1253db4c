"""Who may ask, and who may look."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from llmrouter.protocols import ASGIReceive, ASGIScope, ASGISend
from llmrouter.server.auth import Keys, is_loopback, key_hash
from llmrouter.settings import ClientKeySettings, Secret, ServerSettings

from .serving import HELLO, FakeRouter, Got, router_with, site

KEY = "sk-of-the-client"
ADMIN = "of-the-operator"
KEYS = (ClientKeySettings(name="dev", hash=key_hash(KEY)), ClientKeySettings(name="ci", hash=key_hash("other")))


def call(method: str, path: str, router: FakeRouter, **headers: str) -> Got:
    async def main() -> Got:
        async with site(router) as one:
            return await one.call(method, path, HELLO if method == "POST" else b"", **headers)

    return asyncio.run(main())


def post(router: FakeRouter, query: str = "", **headers: str) -> Got:
    return call("POST", f"/v1/chat/completions{query}", router, **headers)


PLACES: list[dict[str, str]] = [
    {"authorization": f"Bearer {KEY}"},
    {"authorization": f"bearer  {KEY}"},
    {"x_api_key": KEY},
    {"x_goog_api_key": KEY},
    {"api_key": KEY},
    {"query": f"?beta=true&key={KEY}"},
    {"authorization": "Bearer for-somebody-else", "x_api_key": KEY},
]


@pytest.mark.parametrize("place", PLACES)
def test_a_key_counts_wherever_a_client_library_puts_it(place: dict[str, str]) -> None:
    router = router_with(keys=KEYS)
    assert post(router, **place).status == 200
    assert router.engine.requests[0].facts.client == "dev"


@pytest.mark.parametrize(
    ("headers", "says"),
    [
        ({}, "No API key"),
        ({"authorization": "Bearer wrong"}, "does not know"),
        ({"authorization": f"Basic {KEY}"}, "No API key"),
        ({"x_api_key": key_hash(KEY)}, "does not know"),
        ({"x_api_key": ""}, "does not know"),
    ],
)
def test_a_wrong_or_missing_key_is_refused_before_the_body(headers: dict[str, str], says: str) -> None:
    router = router_with(keys=KEYS)
    got = post(router, **headers)
    assert (got.status, got.json["error"]["code"], router.engine.requests) == (401, "invalid_api_key", [])
    assert says in got.json["error"]["message"]
    assert "wrong" not in got.body.decode()


def test_models_need_a_key_and_health_does_not() -> None:
    router = router_with(keys=KEYS)
    assert call("GET", "/v1/models", router).status == 401
    assert call("GET", "/v1/models/p/m", router).status == 401
    assert call("GET", "/v1/models", router, x_api_key=KEY).status == 200
    assert call("GET", "/health/ready", router).status == 200


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://evil.example", 403),
        ("https://evil.example:4000", 403),
        ("null", 403),
        ("http://localhost:3000", 200),
        ("http://127.0.0.1", 200),
        ("vscode-webview://abc", 200),
    ],
)
def test_a_web_page_from_elsewhere_may_not_spend_its_visitors_money(origin: str, status: int) -> None:
    assert post(router_with(), origin=origin).status == status
    assert post(router_with(keys=KEYS), origin=origin, x_api_key=KEY).status == 200


def test_the_operators_pages_need_the_admin_key_where_there_is_one() -> None:
    router = router_with(keys=KEYS, admin_key=Secret(ADMIN))
    assert call("GET", "/admin/status", router).status == 401
    assert call("GET", "/admin/status", router, x_api_key=KEY).status == 401
    got = call("GET", "/admin/status", router, authorization=f"Bearer {ADMIN}")
    assert (got.status, got.json) == (200, {"requests": 7})
    assert call("POST", "/v1/chat/completions", router, x_api_key=ADMIN).status == 401


@pytest.mark.parametrize(
    "headers",
    [
        {"x_forwarded_for": "127.0.0.1"},
        {"forwarded": "for=x"},
        {"via": "1.1 proxy"},
        {"x_forwarded_host": "localhost"},
        {"x_real_ip": "127.0.0.1"},
        {"cf_connecting_ip": "127.0.0.1"},
        {"host": "evil.example:4000"},
        {"origin": "http://evil.example"},
    ],
)
def test_without_an_admin_key_only_this_machine_looks(headers: dict[str, str]) -> None:
    assert call("GET", "/admin/requests", router_with()).status == 200
    assert call("GET", "/admin/requests", router_with(), **headers).status == 403


def test_another_machine_does_not_look() -> None:
    keys, local = Keys(ServerSettings()), {"host": "127.0.0.1:4000"}
    assert keys.admin(local, b"", {"client": ("127.0.0.1", 5)}) == 200
    assert keys.admin(local, b"", {"client": ("::1", 5)}) == 200
    assert keys.admin({"host": "[::1]:4000"}, b"", {"client": ("::1", 5)}) == 200
    assert keys.admin(local, b"", {"client": ("10.0.0.7", 5)}) == 403
    assert keys.admin(local, b"", {"client": None}) == 403
    assert keys.admin({}, b"", {"client": ("127.0.0.1", 5)}) == 403


def test_the_latest_requests_are_listed_up_to_a_limit() -> None:
    got = call("GET", "/admin/requests?limit=2", router_with()).json
    assert [one["facts"]["id"] for one in got["requests"]] == ["req_0", "req_1"]
    assert len(call("GET", "/admin/requests?limit=999999", router_with()).json["requests"]) == 3
    wrong = call("GET", "/admin/requests?limit=all", router_with())
    assert (wrong.status, wrong.json["error"]["param"]) == (400, "limit")


def test_pages_of_plugins_are_the_operators_too() -> None:
    async def page(scope: ASGIScope, receive: ASGIReceive, send: ASGISend) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body"})

    def look(**headers: str) -> int:
        return call("GET", "/metrics", FakeRouter(pages=[("/metrics", page)]), **headers).status

    assert look() == 200
    assert look(x_forwarded_for="10.0.0.1") == 403


@pytest.mark.parametrize(
    ("host", "answer"),
    [
        ("127.0.0.1", True),
        ("localhost", True),
        ("::1", True),
        ("[::1]", True),
        ("0.0.0.0", False),
        ("example.com", False),
    ],
)
def test_loopback_is_known_by_name_and_number(host: str, answer: bool) -> None:
    assert is_loopback(host) is answer


def test_keys_are_not_shown() -> None:
    shown: Any = repr(Keys(ServerSettings(keys=KEYS, admin_key=Secret(ADMIN)))) + repr(KEYS)
    assert KEY not in shown
    assert ADMIN not in shown
