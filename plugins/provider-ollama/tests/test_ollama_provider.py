from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import msgspec
import pytest
from llmrouter_provider_ollama import build, llmrouter_register_providers
from llmrouter_provider_ollama.config import OllamaSettings, endpoints, suggest

from llmrouter.plugins import Plugins
from llmrouter.provider import AccountSettings, MockTransport, ModelSettings, Request, Response, Secret
from llmrouter.testing import run
from llmrouter.testing.context import FakeContext
from llmrouter.testing.provider_http import HTTPProviderContract
from llmrouter.testing.upstream_ollama import NativeChat
from llmrouter.types import ANY_MODEL, Call, Op, Wire

KEY = "topsecret-0123456789"


class TestContract(HTTPProviderContract):
    descriptor = next(iter(llmrouter_register_providers()))
    speaker = NativeChat()
    entry = MappingProxyType({"context_length": 8192, "keep_alive": "5m"})
    listed = MappingProxyType({"models": [{"name": "some-model", "model": "some-model"}]})


def settings(**how: Any) -> OllamaSettings:
    how.setdefault("accounts", (AccountSettings(id="up", api_key=Secret(KEY)),))
    return OllamaSettings(name="up", plugin="ollama", **how)


def sent(config: OllamaSettings, body: Mapping[str, Any], dialect: str = "ollama.chat", op: Op = "chat") -> Request:
    seen: list[Request] = []

    def respond(request: Request) -> Response:
        seen.append(request)
        return Response(200, content=b"{}")

    async def main() -> None:
        provider = build(config, FakeContext("up", transport=MockTransport(respond)))
        endpoint = endpoints(config)[0]
        fields = {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in body.items()}
        wire = Wire(dialect, False)
        call = Call(endpoint=endpoint, account=endpoint.accounts[0], op=op, wire=wire, fields=fields)
        reply = await provider.send(call)
        assert not reply.dropped
        reply.close()

    run(main())
    return seen[0]


def test_the_plugin_is_found_by_its_entry_point() -> None:
    assert Plugins.discover().get("provider", "ollama").config is OllamaSettings


# --- what goes out


def test_the_context_length_is_said_with_every_chat() -> None:
    config = settings(models={"m": ModelSettings(context_window=100)}, context_length=8192, keep_alive="5m")
    body = json.loads(sent(config, {"options": {"seed": 1}}).read())
    assert body == {"options": {"num_ctx": 100, "seed": 1}, "keep_alive": "5m"}
    assert json.loads(sent(settings(context_length=8192), {}).read()) == {"options": {"num_ctx": 8192}}


def test_what_the_request_says_wins() -> None:
    asked = {"options": {"num_ctx": 5}, "keep_alive": -1}
    assert json.loads(sent(settings(context_length=8192, keep_alive="5m"), asked).read()) == asked


def test_nothing_is_added_that_nobody_said() -> None:
    assert json.loads(sent(settings(), {"messages": []}).read()) == {"messages": []}


@pytest.mark.parametrize(
    ("dialect", "op", "path"),
    [
        ("ollama.chat", "chat", "/api/chat"),
        ("openai.embeddings", "embed", "/v1/embeddings"),
        ("openai.completions", "chat", "/v1/completions"),
    ],
)
@pytest.mark.parametrize("base_url", [None, "http://here:1/v1", "http://here:1/api/", "http://here:1"])
def test_the_dialect_decides_the_path(dialect: str, op: Op, path: str, base_url: str | None) -> None:
    request = sent(settings(base_url=base_url, context_length=9), {"input": "a"}, dialect, op)
    assert str(request.url) == f"http://{'here:1' if base_url else 'localhost:11434'}{path}"
    assert (b"num_ctx" in request.read()) is (dialect == "ollama.chat")


# --- what comes back


@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        (404, "model 'x' not found", "not_found"),
        (400, 'model "x" not found, try pulling it first', "not_found"),
        (400, "the input length exceeds the context length", "context_length"),
        (400, '"x" does not support tools', "invalid_request"),
        (401, "unauthorized", "auth"),
        (429, "you've reached your weekly usage limit", "quota_exhausted"),
        (429, "too many requests", "rate_limited"),
        (500, "model requires more system memory than is available", "server_error"),
        (503, "server busy, please try again.  maximum pending requests exceeded", "overloaded"),
        (200, "an error was encountered while running the model", "server_error"),
    ],
)
def test_an_error_is_taken_for_what_it_is(status: int, error: str, kind: str) -> None:
    failure = build(settings(), FakeContext("up")).judge(status, {}, json.dumps({"error": error}).encode()).failure
    assert failure is not None
    assert (failure.kind, failure.message) == (kind, error)


# --- what there is


def listed(config: OllamaSettings, shown: Any, tags: Any = None) -> Any:
    def respond(request: Request) -> Response:
        if request.url.path == "/api/tags":
            return Response(200, json=tags or {"models": [{"model": "a:1b"}, {"name": "no id"}, 7]})
        assert (request.method, request.url.path, request.read()) == ("POST", "/api/show", b'{"model":"a:1b"}')
        return Response(200, content=json.dumps(shown).encode())

    provider = build(config, FakeContext("up", transport=MockTransport(respond)))
    return run(provider.models("up"))


SHOWN = {
    "capabilities": ["completion", "tools", "thinking"],
    "model_info": {"general.architecture": "llama", "llama.context_length": 131072, "llama.block_count": 2},
}


def test_its_models_are_listed_with_what_they_can_do() -> None:
    (one,) = listed(settings(), SHOWN)
    assert (one.id, one.card.abilities) == ("up/a:1b", {"tools", "json_schema"})


@pytest.mark.parametrize(("said", "window"), [(None, None), (8192, 8192), (1_000_000, 131_072)])
def test_a_window_is_what_a_model_is_loaded_with(said: int | None, window: int | None) -> None:
    (one,) = listed(settings(context_length=said), SHOWN)
    assert one.card.window == window


@pytest.mark.parametrize("shown", [{}, [], {"capabilities": None, "model_info": None}, {"model_info": {"x": "y"}}])
def test_a_server_that_says_less_lists_its_models_all_the_same(shown: Any) -> None:
    (one,) = listed(settings(), shown)
    assert (one.card.abilities, one.card.window) == (None, None)


@pytest.mark.parametrize("tags", [{"data": []}, [1], {"models": {}}])
def test_a_list_of_another_shape_is_empty(tags: Any) -> None:
    assert listed(settings(), {}, tags) == []


def test_a_chat_is_never_spoken_as_openais() -> None:
    found = {one.model: one for one in endpoints(settings(models={"m": ModelSettings()}, context_length=5))}
    assert list(found) == ["m", ANY_MODEL]
    assert {one.dialects for one in found.values()} == {("ollama.chat", "openai.embeddings", "openai.completions")}
    assert {one.card.window for one in found.values()} == {5}


def test_without_an_account_there_are_no_endpoints_and_without_an_address_no_entry() -> None:
    assert list(endpoints(settings(accounts=()))) == []
    with pytest.raises(ValueError, match="base_url must be an address"):
        settings(base_url="nowhere")


def test_a_server_is_suggested_by_its_address() -> None:
    assert suggest({"OLLAMA_API_KEY": "k"}) == {}
    entry = {"plugin": "ollama", "base_url": "${OLLAMA_BASE_URL}"}
    assert suggest({"OLLAMA_BASE_URL": "http://x"}) == {"ollama": entry}
    keyed = entry | {"api_key": "${OLLAMA_API_KEY}"}
    assert suggest({"OLLAMA_BASE_URL": "http://x", "OLLAMA_API_KEY": "k"}) == {"ollama": keyed}
