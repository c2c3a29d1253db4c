"""Which headers of a client go on, and where an operation goes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmrouter.provider import (
    AccountSettings,
    HTTPProvider,
    MockTransport,
    ProviderSettings,
    Request,
    Response,
    Secret,
)
from llmrouter.testing import run
from llmrouter.testing.context import FakeContext
from llmrouter.types import Account, Call, Endpoint, Op, Wire

SETTINGS = ProviderSettings(name="up", plugin="x", accounts=(AccountSettings(id="up", api_key=Secret("k")),))
ENDPOINT = Endpoint(provider="up", model="m", dialects=("d",), accounts=(Account("up", "up"),))
THEIRS = {"user-agent": "theirs/1", "authorization": "Bearer theirs", "x-feature": "on"}


class Choosy(HTTPProvider):
    def passed(self, call: Call) -> Mapping[str, str]:
        return {"x-feature": call.headers["x-feature"]}


class Nameless(HTTPProvider):
    def headers(self, account: AccountSettings) -> Mapping[str, str]:
        return {**super().headers(account), "user-agent": ""}


def sent(kind: type[HTTPProvider] = HTTPProvider, op: Op = "chat") -> Request:
    async def main() -> Request:
        seen: list[Request] = []

        def respond(request: Request) -> Response:
            seen.append(request)
            return Response(200, content=b"{}")

        context: Any = FakeContext("up", transport=MockTransport(respond))
        provider = kind(SETTINGS, context, base_url="http://x.example", paths={"d": "/talk", "d/count": "/count"})
        call = Call(
            endpoint=ENDPOINT, account=ENDPOINT.accounts[0], op=op, wire=Wire("d", False), fields={}, headers=THEIRS
        )
        (await provider.send(call)).close()
        return seen[0]

    return run(main())


def test_all_headers_of_the_client_go_on_but_where_the_account_has_its_own() -> None:
    headers = sent().headers
    assert headers["x-feature"] == "on"
    assert headers["authorization"] == "Bearer k"
    assert headers.get_list("user-agent") == [headers["user-agent"]]
    assert headers["user-agent"].startswith("llmrouter/")


def test_a_provider_chooses_which_go_on() -> None:
    headers = sent(Choosy).headers
    assert headers["x-feature"] == "on"
    assert headers["user-agent"].startswith("llmrouter/")


def test_a_header_of_the_account_that_is_empty_is_left_to_the_client() -> None:
    assert sent(Nameless).headers.get_list("user-agent") == ["theirs/1"]


def test_an_operation_may_have_a_path_of_its_own() -> None:
    assert sent().url.path == "/talk"
    assert sent(op="count").url.path == "/count"
    assert sent(op="embed").url.path == "/talk"
