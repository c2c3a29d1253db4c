from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from llmrouter_provider_openrouter import build, llmrouter_register_providers
from llmrouter_provider_openrouter.config import OpenRouterSettings, endpoints, suggest
from llmrouter_provider_openrouter.provider import OpenRouterProvider

from llmrouter.plugins import Plugins
from llmrouter.protocols import Learns, ListsModels, ReportsQuota, SupportsLogin
from llmrouter.provider import AccountSettings, MockTransport, Request, Response, Secret
from llmrouter.testing import run
from llmrouter.testing.context import FakeContext
from llmrouter.testing.provider_http import HTTPProviderContract
from llmrouter.testing.upstream_anthropic import Messages
from llmrouter.testing.upstream_openai import Chat, Embeddings
from llmrouter.testing.upstream_rerank import Rerank
from llmrouter.testing.upstream_responses import Responses
from llmrouter.types import (
    ANY_MODEL,
    Attempt,
    Call,
    Endpoint,
    Facts,
    Price,
    RequestRecord,
    Usage,
    Wire,
)

KEY = "sk-or-topsecret-0123456789"
(DESCRIPTOR,) = llmrouter_register_providers()
OWN_FIELDS: Mapping[str, Any] = {
    "model": "acme/large:nitro",
    "messages": [{"role": "user", "content": "hi"}],
    "models": ["acme/large", "acme/small"],
    "provider": {"order": ["Acme"], "allow_fallbacks": False, "max_price": {"prompt": "1"}},
    "plugins": [{"id": "web", "max_results": 2}],
    "reasoning": {"effort": "high", "exclude": True},
    "transforms": ["middle-out"],
    "session_id": "s",
    "top_a": 0.5,
}


class TestChat(HTTPProviderContract):
    descriptor = DESCRIPTOR
    speaker = Chat()


class TestOverHttpx(TestChat):
    client = "httpx"


class TestResponses(TestChat):
    speaker = Responses()


class TestMessages(TestChat):
    speaker = Messages()


class TestEmbeddings(TestChat):
    speaker = Embeddings()


class TestRerank(TestChat):
    speaker = Rerank()


def settings(**how: Any) -> OpenRouterSettings:
    accounts = (AccountSettings(id="or", api_key=Secret(KEY)),)
    return OpenRouterSettings(**{"name": "or", "plugin": "openrouter", "accounts": accounts} | how)


def provider(answers: Mapping[str, Any] | None = None, seen: list[Request] | None = None, **how: Any) -> Any:
    def respond(request: Request) -> Response:
        if seen is not None:
            seen.append(request)
        said = (answers or {}).get(request.url.path.removeprefix("/api/v1"), {})
        return said if isinstance(said, Response) else Response(200, json=said)

    made: OpenRouterProvider = build(settings(**how), FakeContext("or", transport=MockTransport(respond)))
    return made


def sent(body: Mapping[str, Any], dialect: str = "openai.chat", **how: Any) -> Request:
    async def main() -> Request:
        seen: list[Request] = []
        endpoint = endpoints(settings())[-1]
        fields = {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in body.items()}
        call = Call(
            endpoint=endpoint, account=endpoint.accounts[0], op="chat", wire=Wire(dialect, False), fields=fields
        )
        (await provider(seen=seen, **how).send(call)).close()
        return seen[0]

    return run(main())


# --- what it is


def test_the_plugin_is_found_by_its_entry_point() -> None:
    assert Plugins.discover().get("provider", "openrouter").config is OpenRouterSettings


def test_it_can_do_what_is_optional() -> None:
    made = provider()
    assert all(isinstance(made, one) for one in (ListsModels, ReportsQuota, SupportsLogin, Learns))


def test_a_key_in_the_environment_is_a_provider() -> None:
    assert suggest({"OPENROUTER_API_KEY": KEY}) == {
        "openrouter": {"plugin": "openrouter", "api_key": "${OPENROUTER_API_KEY}"}
    }
    assert suggest({"OPENROUTER_API_KEY": ""}) == {}


def test_without_a_key_it_says_what_to_do() -> None:
    with pytest.raises(ValueError, match="set `api_key`"):
        settings(accounts=(AccountSettings(id="or"),))
    assert not endpoints(settings(accounts=()))


@pytest.mark.parametrize(
    ("base_url", "address"),
    [
        (None, "https://openrouter.ai/api/v1"),
        ("https://openrouter.ai", "https://openrouter.ai/api/v1"),
        ("https://openrouter.ai/api/", "https://openrouter.ai/api/v1"),
        ("https://openrouter.ai/api/v1/chat/completions", "https://openrouter.ai/api/v1"),
        ("http://127.0.0.1:9/proxy/v1", "http://127.0.0.1:9/proxy/v1"),
    ],
)
def test_the_address_may_be_written_in_many_ways(base_url: str | None, address: str) -> None:
    assert settings(base_url=base_url).address() == address


def test_every_other_model_may_be_asked_for_and_a_free_one_costs_nothing() -> None:
    found = {one.model: one for one in endpoints(settings(models={"acme/small:free": None, "acme/large": None}))}
    assert list(found) == ["acme/small:free", "acme/large", ANY_MODEL]
    assert found["acme/small:free"].card.price == Price(input=0.0, output=0.0)
    assert found["acme/large"].card.price is None
    assert all(one.ops == {"chat", "embed", "rerank"} for one in found.values())


# --- what goes out


def test_its_own_fields_reach_it_as_they_came() -> None:
    request = sent(OWN_FIELDS)
    assert request.url == "https://openrouter.ai/api/v1/chat/completions"
    assert request.content == msgspec.json.encode(OWN_FIELDS)


@pytest.mark.parametrize(
    ("dialect", "path"),
    [
        ("openai.responses", "/responses"),
        ("anthropic.messages", "/messages"),
        ("openai.embeddings", "/embeddings"),
        ("rerank", "/rerank"),
    ],
)
def test_every_dialect_has_its_path(dialect: str, path: str) -> None:
    assert sent({}, dialect).url.path == f"/api/v1{path}"


def test_the_application_is_named_only_where_that_is_wanted() -> None:
    silent = sent({}).headers
    assert "http-referer" not in silent
    assert "x-title" not in silent
    named = sent({}, referer="https://app.example", title="My app").headers
    assert (named["http-referer"], named["x-title"]) == ("https://app.example", "My app")
    assert named["authorization"] == f"Bearer {KEY}"


# --- what pays


def record(own_key: bool | None, endpoint: str = "or/m") -> RequestRecord:
    step = Attempt(
        endpoint=endpoint,
        account="or",
        started=0.0,
        first_output=None,
        ended=1.0,
        failure=None,
        usage=Usage(own_key=own_key),
        cost=None,
    )
    facts = Facts(wire=Wire("openai.chat", False), asked="m")
    return RequestRecord(
        facts=facts,
        decision=None,
        steps=(step,),
        outcome="complete",
        status=200,
        cache="miss",
        usage=step.usage,
        cost=None,
    )


@pytest.mark.parametrize(
    ("mode", "own_key", "paid"), [("credits", True, "a key of your own"), ("byok", False, "credits")]
)
def test_what_contradicts_the_mode_is_warned_of_once(
    mode: str, own_key: bool, paid: str, caplog: pytest.LogCaptureFixture
) -> None:
    made = provider(mode=mode)
    with caplog.at_level(logging.WARNING):
        for one in (record(None), record(not own_key), record(own_key, "elsewhere/m")):
            made.observe(one)
        assert not caplog.messages
        for _ in range(3):
            made.observe(record(own_key))
    (message,) = caplog.messages
    assert mode in message
    assert paid in message


# --- what is listed


def test_models_are_listed_with_their_cards() -> None:
    listed = {"data": [{"id": "acme/large", "context_length": 9}, {"id": 5}, "x", {"name": "nameless"}]}
    found = run(_models(listed))
    assert [(one.id, one.card.window, one.ops) for one in found] == [("or/acme/large", 9, {"chat"})]
    assert run(_models({"data": None})) == []


async def _models(listed: Any) -> list[Endpoint]:
    return list(await provider({"/models": listed}).models("or"))
