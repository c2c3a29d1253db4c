"""Login against a site of our own: the browser is a function, the exchange checks what PKCE promises."""

from __future__ import annotations

import asyncio
import http.client
import io
import socket
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from llmrouter_provider_openrouter import llmrouter_register_providers
from llmrouter_provider_openrouter.login import Site, challenge, login, typed

from llmrouter.errors import LLMRouterError
from llmrouter.http import open_transport
from llmrouter.testing.context import FakeContext
from llmrouter.testing.upstream import Received, Upstream
from llmrouter.testing.upstream_scripts import JSON, answer, chosen

(DESCRIPTOR,) = llmrouter_register_providers()


async def nobody() -> str:
    raise AssertionError("nobody was to be asked")


class Page:
    """OpenRouter's side: remembers what it was asked, and gives a key for the right verifier only."""

    def __init__(self) -> None:
        self.asked: dict[str, str] = {}
        self.shown: list[str] = []
        self.visits: list[tuple[int, str]] = []

    def open(self, address: str) -> None:
        self.asked = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}

    def grant(self, address: str) -> None:
        self.open(address)
        self.visit(f"{self.asked['callback_url']}?code=the-code")

    def visit(self, address: str) -> None:
        """A browser goes to an address on this machine."""
        parts = urlsplit(address)
        connection = http.client.HTTPConnection("127.0.0.1", parts.port or 0, timeout=5)
        connection.request("GET", f"{parts.path}?{parts.query}")
        response = connection.getresponse()
        self.visits.append((response.status, response.read().decode()))
        connection.close()

    async def exchange(self, body: dict[str, str]) -> Any:
        assert body["code"] == "the-code"
        assert body["code_challenge_method"] == self.asked["code_challenge_method"] == "S256"
        assert challenge(body["code_verifier"]) == self.asked["code_challenge"]
        return {"key": "sk-or-new", "user_id": "u"}

    def site(self, open: Callable[[str], None] | None = None) -> Site:
        return Site("https://site.example/auth", self.exchange, open or self.grant)

    def login(self, open: Callable[[str], None] | None = None, ask: Any = nobody, patience: float = 20.0) -> str:
        return asyncio.run(
            login(self.site(open), self.shown.append, open_browser=ask is nobody, ask=ask, patience=patience)
        )


def test_a_browser_brings_the_code() -> None:
    page = Page()
    assert page.login() == "sk-or-new"
    assert page.visits == [(200, page.visits[0][1])]
    assert "close this page" in page.visits[0][1]
    assert urlsplit(page.asked["callback_url"]).hostname == "localhost"
    (said,) = page.shown
    assert "https://site.example/auth?" in said


def test_where_there_is_no_browser_the_person_types_the_code() -> None:
    page = Page()

    async def ask() -> str:
        page.open(page.shown[0].split(": ", 1)[1])
        return " the-code\n"

    assert page.login(ask=ask) == "sk-or-new"
    assert "callback_url" not in page.asked


@pytest.mark.parametrize(("line", "answer"), [("the-code\n", "the-code"), ("", "")])
def test_a_line_is_read_without_holding_up_anything(
    line: str, answer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(line))
    assert asyncio.run(typed()) == answer


def test_no_code_is_no_key() -> None:
    async def ask() -> str:
        return " "

    with pytest.raises(LLMRouterError, match="no code"):
        Page().login(ask=ask)


def test_another_login_cannot_be_slipped_in() -> None:
    """Whoever does not know the path that was given along is turned away, and the login goes on."""
    page = Page()

    def opened(address: str) -> None:
        page.open(address)
        callback = page.asked["callback_url"]
        page.visit(f"{callback.rpartition('/')[0]}/guess?code=theirs")
        page.visit(f"{callback}?code=the-code")

    assert page.login(opened) == "sk-or-new"
    assert [status for status, _ in page.visits] == [404, 200]


def test_what_is_no_request_does_not_end_the_login() -> None:
    page = Page()

    def opened(address: str) -> None:
        page.open(address)
        port = urlsplit(page.asked["callback_url"]).port or 0
        for noise in (b"\r\n\r\n", b"x" * 20_000):
            with socket.create_connection(("127.0.0.1", port), timeout=5) as line:
                line.sendall(noise)
                line.recv(100)
        page.grant(address)

    assert page.login(opened) == "sk-or-new"


def test_a_person_may_refuse() -> None:
    page = Page()

    def opened(address: str) -> None:
        page.open(address)
        page.visit(f"{page.asked['callback_url']}?error=access_denied")

    with pytest.raises(LLMRouterError, match="access_denied"):
        page.login(opened)


def test_who_takes_too_long_has_to_begin_again() -> None:
    with pytest.raises(LLMRouterError, match="begin again"):
        Page().login(lambda address: None, patience=0.05)


def test_an_answer_without_a_key_is_an_error() -> None:
    class Keyless(Page):
        async def exchange(self, body: dict[str, str]) -> Any:
            return {"user_id": "u"}

    with pytest.raises(LLMRouterError, match="no key"):
        Keyless().login()


def test_every_login_has_a_verifier_and_a_path_of_its_own() -> None:
    first, second = Page(), Page()
    first.login()
    second.login()
    assert first.asked["code_challenge"] != second.asked["code_challenge"]
    assert urlsplit(first.asked["callback_url"]).path != urlsplit(second.asked["callback_url"]).path


def test_the_provider_exchanges_the_code_without_any_account() -> None:
    exchanges: list[Received] = []

    def choose(request: Received) -> Any:
        exchanges.append(request)
        return answer(200, JSON, {"key": "sk-or-new"})

    async def code() -> str:
        return "the-code"

    shown: list[str] = []

    async def main(address: str) -> str:
        async with open_transport(connect=5, limit=None) as transport:
            settings = DESCRIPTOR.config(name="openrouter", plugin="openrouter", base_url=address)
            made = DESCRIPTOR.build(settings, FakeContext("openrouter", transport=transport))
            return str(await made.login(shown.append, False, code))

    with Upstream(chosen(choose)) as upstream:
        assert asyncio.run(main(upstream.base_url)) == "sk-or-new"
        assert f"{upstream.base_url}/auth?" in shown[0]
    (request,) = exchanges
    assert (request.method, request.path) == ("POST", "/api/v1/auth/keys")
    assert "authorization" not in request.headers
    assert request.json["code"] == "the-code"
