from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
import yaml
from attrs import frozen
from llmrouter_provider_voyage import build, llmrouter_register_providers
from llmrouter_provider_voyage.config import VoyageSettings, endpoints, load, suggest

from llmrouter.plugins import Plugins
from llmrouter.provider import AccountSettings, MockTransport, ModelSettings, Request, Response, Secret
from llmrouter.testing import run
from llmrouter.testing.context import FakeContext
from llmrouter.testing.provider_http import HTTPProviderContract
from llmrouter.testing.upstream_line import Received
from llmrouter.testing.upstream_openai import Embeddings
from llmrouter.testing.upstream_rerank import Rerank
from llmrouter.types import ANY_MODEL, Call, Failure, Op, Wire

KEY = "pa-0123456789abcdef"


@frozen
class VoyageEmbeddings(Embeddings):
    def whole(self, request: Received) -> dict[str, Any]:
        return super().whole(request) | {"usage": {"total_tokens": 4}}

    def error(self, status: int = 500, message: str = "scripted") -> dict[str, Any]:
        return {"detail": message}


@frozen
class VoyageRerank(Rerank):
    def whole(self, request: Received) -> dict[str, Any]:
        return {"object": "list", "data": self.hits(request), "model": "m", "usage": {"total_tokens": 7}}

    def error(self, status: int = 500, message: str = "scripted") -> dict[str, Any]:
        return {"detail": message}


class TestEmbeddings(HTTPProviderContract):
    descriptor = next(iter(llmrouter_register_providers()))
    speaker = VoyageEmbeddings()


class TestRerank(TestEmbeddings):
    speaker = VoyageRerank()


def settings(key: str = KEY, **how: Any) -> VoyageSettings:
    accounts = (AccountSettings(id="up", api_key=Secret(key)),)
    return VoyageSettings(name="up", plugin="voyage", accounts=accounts, **how)


def sent(config: VoyageSettings, body: Mapping[str, Any], op: Op = "embed") -> tuple[Request, tuple[str, ...]]:
    seen: list[Request] = []

    def respond(request: Request) -> Response:
        seen.append(request)
        return Response(200, content=b"{}")

    async def main() -> tuple[str, ...]:
        provider = build(config, FakeContext("up", transport=MockTransport(respond)))
        endpoint = endpoints(config)[0]
        fields = {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in body.items()}
        wire = Wire("rerank" if op == "rerank" else "openai.embeddings", False)
        call = Call(endpoint=endpoint, account=endpoint.accounts[0], op=op, wire=wire, fields=fields)
        reply = await provider.send(call)
        reply.close()
        return reply.dropped

    dropped = run(main())
    return seen[0], dropped


def bent(body: Mapping[str, Any], op: Op = "embed") -> tuple[Any, tuple[str, ...]]:
    request, dropped = sent(settings(), body, op)
    return msgspec.json.decode(request.read()), dropped


def test_the_plugin_is_found_by_its_entry_point() -> None:
    assert Plugins.discover().get("provider", "voyage").config is VoyageSettings


# --- what goes out


def test_embeddings_are_asked_for_in_its_words() -> None:
    asked = {"model": "m", "input": ["a"], "dimensions": 256, "encoding_format": "base64", "user": "u"}
    more = {"input_type": "query", "truncation": False, "output_dtype": "int8"}
    expected = {"model": "m", "input": ["a"], "output_dimension": 256, "encoding_format": "base64"}
    assert bent(asked | more) == (expected | more, ("user",))


def test_its_own_word_wins_where_both_were_said() -> None:
    body, dropped = bent({"input": "a", "dimensions": 1, "output_dimension": 2})
    assert (body, dropped) == ({"input": "a", "output_dimension": 2}, ("dimensions",))


def test_floats_are_what_it_sends_unasked() -> None:
    assert bent({"input": "a", "encoding_format": "float"})[0] == {"input": "a"}


def test_a_ranking_is_asked_for_in_its_words() -> None:
    asked = {"model": "m", "query": "q", "documents": ["a"], "top_n": 3, "return_documents": True, "priority": 1}
    expected = {"model": "m", "query": "q", "documents": ["a"], "top_k": 3, "return_documents": True}
    assert bent(asked, "rerank") == (expected, ("priority",))


@pytest.mark.parametrize(
    ("key", "how", "url"),
    [
        (KEY, {}, "https://api.voyageai.com/v1/embeddings"),
        ("al-0123456789abcdef", {}, "https://ai.mongodb.com/v1/embeddings"),
        ("al-0123456789abcdef", {"base_url": "http://here.example"}, "http://here.example/v1/embeddings"),
    ],
)
def test_the_key_says_where_a_call_goes(key: str, how: dict[str, Any], url: str) -> None:
    request, _ = sent(settings(key, **how), {"input": "a"})
    assert str(request.url) == url
    assert request.headers["authorization"] == f"Bearer {key}"


# --- what comes back


@pytest.mark.parametrize(
    ("status", "detail", "kind", "scope"),
    [
        (400, "Model x is not supported. Supported models are ['a', 'b'].", "not_found", "endpoint"),
        (400, "The max allowed tokens per submitted batch is 120000.", "context_length", "request"),
        (400, "Value 'x' is not one of 'query', 'document'.", "invalid_request", "request"),
        (401, "Provided API key is invalid.", "auth", "account"),
        (403, "This address may not be used.", "forbidden_model", "account"),
        (429, "You have not yet added your payment method: 3 RPM.", "rate_limited", "account_model"),
        (502, "Bad gateway", "server_error", "endpoint"),
    ],
)
def test_an_error_is_taken_for_what_it_is(status: int, detail: str, kind: str, scope: str) -> None:
    verdict = build(settings(), FakeContext("up")).judge(status, {}, msgspec.json.encode({"detail": detail}))
    assert isinstance(verdict.failure, Failure)
    assert (verdict.failure.kind, verdict.failure.scope, verdict.failure.message) == (kind, scope, detail)


# --- what there is


def test_a_model_embeds_or_ranks_and_an_unknown_one_may_do_either() -> None:
    found = {one.model: one for one in endpoints(settings(models={"mine": ModelSettings(context_window=9)}))}
    assert found["voyage-4"].dialects == ("openai.embeddings",)
    assert found["rerank-3"].dialects == ("rerank",)
    assert found["mine"].dialects == found[ANY_MODEL].dialects == ("openai.embeddings", "rerank")
    assert found["mine"].card.window == 9


def test_nothing_takes_token_ids() -> None:
    assert {one.card.abilities for one in endpoints(settings())} == {frozenset()}


def test_every_model_has_a_price_and_a_window() -> None:
    for model in load().models:
        card = load().card(model)
        assert card.window
        assert card.price


def test_a_mistake_in_an_entry_is_an_error() -> None:
    with pytest.raises(ValueError, match="needs a key"):
        VoyageSettings(name="up", plugin="voyage", accounts=(AccountSettings(id="up"),))
    with pytest.raises(ValueError, match="base_url must be an address"):
        settings(base_url="nowhere")
    off = VoyageSettings(name="up", plugin="voyage", accounts=(AccountSettings(id="up", enabled=False),))
    assert list(endpoints(off)) == []


def test_a_key_in_the_environment_suggests_an_entry() -> None:
    entry = suggest({"VOYAGE_API_KEY": "k"})
    assert entry == {"voyage": {"plugin": "voyage", "api_key": "${VOYAGE_API_KEY}"}}
    assert yaml.safe_load(yaml.safe_dump(entry)) == entry
    assert suggest({"VOYAGE_API_KEY": ""}) == {}
