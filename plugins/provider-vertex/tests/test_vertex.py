from __future__ import annotations

import asyncio
import json
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from attrs import evolve
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from llmrouter_provider_vertex import build, llmrouter_register_providers
from llmrouter_provider_vertex.config import VertexSettings, endpoints, suggest
from llmrouter_provider_vertex.provider import VertexProvider
from llmrouter_provider_vertex.tokens import EARLY, Denied, Tokens

from llmrouter.errors import LLMRouterError, TransportError
from llmrouter.http import open_transport
from llmrouter.plugins import Plugins
from llmrouter.provider import AccountSettings, MockTransport, Request, Response, Secret
from llmrouter.testing import run
from llmrouter.testing.context import FakeContext
from llmrouter.testing.provider_http import HTTPProviderContract
from llmrouter.testing.upstream import Received, Upstream
from llmrouter.testing.upstream_gemini import Generate
from llmrouter.testing.upstream_line import Script
from llmrouter.testing.upstream_scripts import JSON, answer, chosen
from llmrouter.types import Call, Op, Wire

KEY = "AQ.0123456789abcdef"
TOKEN = "ya29.a-token-that-nobody-may-see"


class TestWithAKey(HTTPProviderContract):
    descriptor = next(iter(llmrouter_register_providers()))
    speaker = Generate()


def settings(key: str | None = KEY, **how: Any) -> VertexSettings:
    accounts = (AccountSettings(id="up", api_key=Secret(key) if key else None),)
    return VertexSettings(name="up", plugin="vertex", accounts=accounts, **how)


def call(op: Op = "chat", stream: bool = False, **body: Any) -> Call:
    endpoint = evolve(endpoints(settings())[0], model="m")
    fields = {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in body.items()}
    wire = Wire("gemini.generate", stream)
    return Call(endpoint=endpoint, account=endpoint.accounts[0], op=op, wire=wire, fields=fields)


def sent(config: VertexSettings, one: Call) -> Request:
    seen: list[Request] = []

    def respond(request: Request) -> Response:
        seen.append(request)
        return Response(200, content=b"{}")

    async def main() -> None:
        (await build(config, FakeContext("up", transport=MockTransport(respond))).send(one)).close()

    run(main())
    return seen[0]


def test_the_plugin_is_found_by_its_entry_point() -> None:
    assert Plugins.discover().get("provider", "vertex").config is VertexSettings


# --- where it goes

PLACE = "/projects/p/locations/{}/publishers/google/models/m"


@pytest.mark.parametrize(
    ("how", "url"),
    [
        ({"project": "p"}, "https://aiplatform.googleapis.com/v1" + PLACE.format("global")),
        (
            {"project": "p", "location": "us-central1"},
            "https://us-central1-aiplatform.googleapis.com/v1" + PLACE.format("us-central1"),
        ),
        ({}, "https://aiplatform.googleapis.com/v1/publishers/google/models/m"),
        (
            {"project": "p", "base_url": "http://up.example/v1beta1/"},
            "http://up.example/v1beta1" + PLACE.format("global"),
        ),
    ],
)
def test_project_and_location_are_the_address(how: dict[str, Any], url: str) -> None:
    request = sent(settings(**how), call())
    assert str(request.url) == f"{url}:generateContent"
    assert request.headers["x-goog-api-key"] == KEY
    assert str(sent(settings(**how), call(stream=True)).url) == f"{url}:streamGenerateContent?alt=sse"


def test_a_count_stands_beside_its_contents_here() -> None:
    whole = {"model": "models/m", "contents": [1], "systemInstruction": {}}
    request = sent(settings(), call("count", generateContentRequest=whole))
    assert msgspec.json.decode(request.read()) == {"contents": [1], "systemInstruction": {}}
    assert request.url.path.endswith(":countTokens")


# --- the configuration


def test_somebody_must_name_the_project() -> None:
    with pytest.raises(ValueError, match="project"):
        settings(None)
    with pytest.raises(ValueError, match="not JSON"):
        settings("{oops")
    assert (
        settings('{"project_id": "mine"}')
        .place(settings('{"project_id": "mine"}').accounts[0])
        .startswith("/projects/mine/")
    )
    assert settings(None, enabled=False)


def test_a_project_in_the_environment_is_an_entry() -> None:
    environ = {"GOOGLE_CLOUD_PROJECT": "p", "GOOGLE_APPLICATION_CREDENTIALS": "f", "GOOGLE_CLOUD_LOCATION": "l"}
    assert suggest(environ)["vertex"] == {
        "plugin": "vertex",
        "project": "${GOOGLE_CLOUD_PROJECT}",
        "location": "${GOOGLE_CLOUD_LOCATION}",
    }
    assert suggest({"GOOGLE_CLOUD_PROJECT": "p"}) == {}


# --- tokens


class Bank:
    """Gives tokens: one after the other, each for an hour."""

    def __init__(self) -> None:
        self.given = 0
        self.threads: set[str] = set()
        self.refuses: Exception | None = None

    def __call__(self) -> tuple[str, float]:
        self.threads.add(threading.current_thread().name)
        if self.refuses:
            raise self.refuses
        self.given += 1
        return f"{TOKEN}-{self.given}", 3600.0


def timed(bank: Bank, body: Callable[[Tokens, list[float]], Any]) -> Any:
    now = [1000.0]
    return asyncio.run(body(Tokens(bank, lambda: now[0]), now))


def test_a_token_is_kept_and_fetched_anew_before_it_ends() -> None:
    async def body(tokens: Tokens, now: list[float]) -> list[str]:
        found = []
        for later in (0.0, 3600.0 - EARLY - 1, 2.0):
            now[0] += later
            found.append(await tokens.get())
        return found

    bank = Bank()
    assert timed(bank, body) == [f"{TOKEN}-1", f"{TOKEN}-1", f"{TOKEN}-2"]
    assert threading.current_thread().name not in bank.threads, "off the event loop"


def test_who_asks_at_once_waits_for_the_same_token() -> None:
    async def body(tokens: Tokens, now: list[float]) -> list[str]:
        return [*await asyncio.gather(*(tokens.get() for _ in range(20)))]

    bank = Bank()
    assert timed(bank, body) == [f"{TOKEN}-1"] * 20
    assert bank.given == 1


def test_a_refusal_is_not_kept() -> None:
    async def body(tokens: Tokens, now: list[float]) -> str:
        bank.refuses = Denied("no")
        with pytest.raises(Denied):
            await tokens.get()
        bank.refuses = None
        return await tokens.get()

    bank = Bank()
    assert timed(bank, body) == f"{TOKEN}-1"


def test_calls_carry_the_token_and_no_message_does() -> None:
    async def main() -> None:
        seen: list[Request] = []

        def respond(request: Request) -> Response:
            seen.append(request)
            return Response(200, content=b"{}")

        bank = Bank()
        provider = build(settings(), FakeContext("up", transport=MockTransport(respond)))
        provider.tokens["up"] = Tokens(bank, lambda: 0.0)
        (await provider.send(msgspec.structs.replace(call(), headers={"authorization": "Bearer client"}))).close()
        assert seen[0].headers["authorization"] == f"Bearer {TOKEN}-1"
        error = {"error": {"code": 401, "message": f"bad {TOKEN}-1", "status": "UNAUTHENTICATED"}}
        failure = provider.judge(401, {}, json.dumps(error).encode()).failure
        assert failure is not None
        assert TOKEN not in repr(failure)
        assert TOKEN not in repr(provider)

    asyncio.run(main())


def test_what_is_no_service_account_is_said_when_it_is_built() -> None:
    with pytest.raises(LLMRouterError, match="service account"):
        build(settings('{"type": "authorized_user"}', project="p"), FakeContext("up"))


def test_without_google_auth_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "google.oauth2.service_account", None)
    with pytest.raises(LLMRouterError, match=r"pip install 'llmrouter-provider-vertex\[auth\]'"):
        build(settings(None, project="p"), FakeContext("up"))
    assert build(settings(), FakeContext("up")), "a key needs none"


# --- with google-auth, over loopback


@pytest.fixture(scope="module")
def private_key() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    kind = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, kind, serialization.NoEncryption()).decode()


def account(private_key: str, address: str) -> str:
    said = {
        "type": "service_account",
        "project_id": "mine",
        "private_key_id": "1",
        "private_key": private_key,
        "client_email": "router@mine.iam.example",
        "token_uri": f"{address}/token",
    }
    return json.dumps(said)


def google(token: Script) -> Script:
    """Gives tokens, and answers who brings one."""
    refused = Generate().refuse(401)

    def choose(request: Received) -> Script:
        if request.path == "/token":
            return token
        return Generate().answer() if request.headers.get("authorization") == f"Bearer {TOKEN}" else refused

    return chosen(choose)


@asynccontextmanager
async def running(upstream: Upstream, key: str | None, **how: Any) -> AsyncIterator[VertexProvider]:
    said = account(key, upstream.base_url) if key else None
    config = settings(said, base_url=upstream.base_url, location="l", **how)
    async with open_transport(connect=5, limit=None) as transport:
        yield build(config, FakeContext("up", transport=transport))


def test_a_service_account_fetches_one_token_for_many_calls(private_key: str) -> None:
    given = answer(200, JSON, {"access_token": TOKEN, "expires_in": 3600, "token_type": "Bearer"})

    async def main(upstream: Upstream) -> list[int]:
        async with running(upstream, private_key) as provider:
            replies = [await provider.send(call(contents=[])) for _ in range(3)]
            for reply in replies:
                reply.close()
            return [reply.status for reply in replies]

    with Upstream(google(given)) as upstream:
        assert asyncio.run(main(upstream)) == [200] * 3
        paths = [request.path for request in upstream.requests]
    assert paths.count("/token") == 1
    assert paths[-1] == "/v1/projects/mine/locations/l/publishers/google/models/m:generateContent"


def test_who_the_machine_is_to_google_is_enough(
    private_key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = answer(200, JSON, {"access_token": TOKEN, "expires_in": 3600, "token_type": "Bearer"})
    file = tmp_path / "account.json"
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(file))

    async def main(upstream: Upstream) -> int:
        async with running(upstream, None, project="p") as provider:
            file.write_text(account(private_key, upstream.base_url))
            reply = await provider.send(call(contents=[]))
            reply.close()
            return reply.status

    with Upstream(google(given)) as upstream:
        assert asyncio.run(main(upstream)) == 200


def test_a_service_account_that_is_refused_is_an_account_without_rights(private_key: str) -> None:
    no = answer(400, JSON, {"error": "invalid_grant", "error_description": "Invalid JWT Signature."})

    async def main(upstream: Upstream) -> Any:
        async with running(upstream, private_key) as provider:
            reply = await provider.send(call(contents=[]))
            body = b"".join([chunk async for chunk in reply.chunks()])
            reply.close()
            return provider.judge(reply.status, reply.headers, body).failure

    with Upstream(google(no)) as upstream:
        failure = asyncio.run(main(upstream))
        assert all(request.path == "/token" for request in upstream.requests), "nobody was asked without a token"
    assert (failure.kind, failure.scope) == ("auth", "account")
    assert "Invalid JWT Signature" in failure.message


def test_google_that_is_not_there_is_a_transport_error(private_key: str) -> None:
    async def main(upstream: Upstream) -> None:
        async with running(upstream, private_key) as provider:
            with pytest.raises(TransportError) as caught:
                await provider.send(call(contents=[]))
            assert caught.value.kind == "connect"

    with Upstream(answer()) as upstream:
        upstream.refuse()
        asyncio.run(main(upstream))
