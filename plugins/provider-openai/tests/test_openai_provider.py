from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec
import pytest
import vcr  # type: ignore[import-untyped]
from llmrouter_provider_openai import build, llmrouter_register_providers
from llmrouter_provider_openai.config import OpenAISettings, endpoints
from llmrouter_provider_openai.provider import OpenAIProvider

from llmrouter.http import open_transport
from llmrouter.plugins import Plugins
from llmrouter.protocols import ListsModels
from llmrouter.provider import AccountSettings, MockTransport, Request, Response, Secret
from llmrouter.testing import run
from llmrouter.testing.context import FakeContext
from llmrouter.testing.provider_http import HTTPProviderContract
from llmrouter.testing.upstream_openai import Chat, Embeddings
from llmrouter.testing.upstream_responses import Responses
from llmrouter.types import Call, Op, Wire

CASSETTES = Path(__file__).with_name("cassettes")
KEY = "topsecret-0123456789"
(DESCRIPTOR,) = llmrouter_register_providers()


def settings(profile: str = "custom", base_url: str | None = "http://up.example", **how: Any) -> OpenAISettings:
    accounts = (AccountSettings(id="up", api_key=Secret(KEY)), AccountSettings(id="off", enabled=False))
    return OpenAISettings(name="up", plugin="openai", profile=profile, base_url=base_url, accounts=accounts, **how)


def call(
    config: OpenAISettings, body: Mapping[str, Any], op: Op = "chat", dialect: str = "openai.chat", **how: Any
) -> Call:
    endpoint = endpoints(config)[-1]
    fields = {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in body.items()}
    wire = Wire(dialect, bool(body.get("stream")))
    return Call(endpoint=endpoint, account=endpoint.accounts[0], op=op, wire=wire, fields=fields, **how)


ASKED: Mapping[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


class TestOverOurs(HTTPProviderContract):
    descriptor = DESCRIPTOR
    speaker = Chat()
    entry = MappingProxyType({"profile": "custom"})


class TestOverHttpx(TestOverOurs):
    client = "httpx"


class TestEmbeddings(TestOverOurs):
    speaker = Embeddings()


class TestResponses(TestOverOurs):
    speaker = Responses()
    entry = MappingProxyType({"profile": "openai"})


def mocked(config: OpenAISettings, seen: list[Request], answer: Response | None = None) -> OpenAIProvider:
    def respond(request: Request) -> Response:
        seen.append(request)
        return answer or Response(200, content=b"{}")

    return build(config, FakeContext("up", transport=MockTransport(respond)))


def sent(config: OpenAISettings, one: Call) -> Request:
    async def main() -> Request:
        seen: list[Request] = []
        (await mocked(config, seen).send(one)).close()
        return seen[0]

    return run(main())


def test_the_plugin_is_found_by_its_entry_point() -> None:
    assert Plugins.discover().get("provider", "openai").config is OpenAISettings


@pytest.mark.parametrize(
    ("op", "dialect", "path"),
    [
        ("chat", "openai.chat", "/v1/chat/completions"),
        ("chat", "openai.completions", "/v1/completions"),
        ("embed", "openai.embeddings", "/v1/embeddings"),
        ("rerank", "rerank", "/v1/rerank"),
    ],
)
def test_the_dialect_decides_the_path(op: Op, dialect: str, path: str) -> None:
    config = settings()
    assert sent(config, call(config, ASKED, op, dialect)).url.path == path


def test_a_profile_without_deviations_leaves_every_byte() -> None:
    config = settings()
    fields = {"messages": msgspec.Raw(b'[ {"role": "developer", "content": null} ]'), "n": msgspec.Raw(b"1.00")}
    one = msgspec.structs.replace(call(config, ASKED), fields=fields)
    assert sent(config, one).read() == b'{"messages":[ {"role": "developer", "content": null} ],"n":1.00}'


def test_a_profile_bends_the_body_and_adds_its_headers() -> None:
    config = settings("zai", headers={"X-Team": "blue"})
    request = sent(config, call(config, {**ASKED, "max_completion_tokens": 5}))
    assert msgspec.json.decode(request.read()) == {**ASKED, "max_tokens": 5}
    assert (request.headers["x-team"], request.headers["authorization"]) == ("blue", f"Bearer {KEY}")
    assert str(request.url) == "http://up.example/chat/completions"


# --- lists of models


def listed(config: OpenAISettings, answer: Response) -> list[tuple[str, int | None]]:
    async def main() -> list[tuple[str, int | None]]:
        provider = mocked(config, [], answer)
        assert isinstance(provider, ListsModels)
        return [(one.model, one.card.window) for one in await provider.models("up")]

    return run(main())


@pytest.mark.parametrize("name", ["context_window", "max_model_len", "max_context_length", "context_length"])
def test_a_context_window_in_a_list_is_read(name: str) -> None:
    body = {"data": [{"id": "a", name: 9}, {"id": "b", name: "9"}, {"id": "c"}]}
    assert listed(settings(), Response(200, json=body)) == [("a", 9), ("b", None), ("c", None)]


@pytest.mark.parametrize("body", [{}, [], {"data": None}, {"data": [1, {"id": 2}]}, 7, None])
def test_a_list_of_another_shape_is_empty(body: Any) -> None:
    assert listed(settings(), Response(200, content=msgspec.json.encode(body))) == []


def test_some_have_no_list(tmp_path: Path) -> None:
    own = tmp_path / "acme.yaml"
    own.write_text("about: Acme.\nmodels_path: null\n")
    assert listed(settings(str(own)), Response(200)) == []


# --- recorded


def played(profile: str, cassette: str, main: Any) -> Any:
    """Run over httpx's own transport against a recording."""

    async def over() -> Any:
        recorder = vcr.VCR(record_mode="none", match_on=["method", "uri", "body"])
        async with open_transport(connect=5, limit=None, kind="httpx") as transport:
            config = settings(profile, base_url=None)
            with recorder.use_cassette(str(CASSETTES / cassette)) as tape:
                found = await main(build(config, FakeContext("up", transport=transport)), config)
                assert tape.all_played
                return found

    return asyncio.run(over())


def test_a_bare_list_of_models_is_read_from_a_recording() -> None:
    async def main(provider: OpenAIProvider, config: OpenAISettings) -> Any:
        return [(one.model, one.card.window) for one in await provider.models("up")]

    found = played("together", "together_models.yaml", main)
    assert found == [("openai/gpt-oss-120b", 131_072), ("acme/new", 4096)]


def test_a_bent_chat_is_the_one_that_was_recorded() -> None:
    async def main(provider: OpenAIProvider, config: OpenAISettings) -> Any:
        body = {
            "model": "glm-4.7-flash",
            "messages": [{"role": "developer", "content": "be brief"}],
            "max_completion_tokens": 5,
            "stream": False,
        }
        reply = await provider.send(call(config, body))
        return reply.status, reply.headers["x-log-id"], b"".join([chunk async for chunk in reply.chunks()])

    status, log, answered = played("zai", "zai_chat.yaml", main)
    assert (status, log) == (200, "1")
    assert msgspec.json.decode(answered)["choices"][0]["message"]["content"] == "hi"
