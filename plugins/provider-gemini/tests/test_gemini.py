from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
from attrs import evolve
from llmrouter_provider_gemini import build, llmrouter_register_providers
from llmrouter_provider_gemini.config import GeminiSettings, catalogue, endpoints, suggest
from llmrouter_provider_gemini.provider import GeminiProvider

from llmrouter.plugins import Plugins
from llmrouter.provider import AccountSettings, MockTransport, ModelSettings, Request, Response, Secret
from llmrouter.testing import run
from llmrouter.testing.context import FakeContext
from llmrouter.testing.provider_http import HTTPProviderContract
from llmrouter.testing.upstream_gemini import Embed, Generate
from llmrouter.types import ANY_MODEL, Call, Op, Wire

KEY = "AQ.0123456789abcdef"


class TestGenerate(HTTPProviderContract):
    descriptor = next(iter(llmrouter_register_providers()))
    speaker = Generate()
    listed: Mapping[str, Any] = {
        "models": [{"name": "models/some-model", "supportedGenerationMethods": ["generateContent"]}]
    }


class TestEmbed(TestGenerate):
    speaker = Embed()


def settings(**how: Any) -> GeminiSettings:
    accounts = how.pop("accounts", (AccountSettings(id="up", api_key=Secret(KEY)),))
    return GeminiSettings(name="up", plugin="gemini", accounts=accounts, **how)


def provider(
    config: GeminiSettings, respond: Callable[[Request], Response], logger: logging.Logger | None = None
) -> GeminiProvider:
    context = FakeContext("up", transport=MockTransport(respond))
    if logger:
        context.logger = logger
    return build(config, context)


def call(model: str = "m", op: Op = "chat", stream: bool = False, **body: Any) -> Call:
    endpoint = evolve(endpoints(settings())[0], model=model)
    fields = {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in body.items()}
    wire = Wire("gemini.embed" if op == "embed" else "gemini.generate", stream)
    return Call(endpoint=endpoint, account=endpoint.accounts[0], op=op, wire=wire, fields=fields)


def sent(one: Call, config: GeminiSettings | None = None) -> tuple[Request, tuple[str, ...]]:
    seen: list[Request] = []

    def respond(request: Request) -> Response:
        seen.append(request)
        return Response(200, content=b"{}")

    async def main() -> tuple[str, ...]:
        reply = await provider(config or settings(), respond).send(one)
        reply.close()
        return reply.dropped

    dropped = run(main())
    return seen[0], dropped


def test_the_plugin_is_found_by_its_entry_point() -> None:
    assert Plugins.discover().get("provider", "gemini").config is GeminiSettings


# --- what goes out


@pytest.mark.parametrize(
    ("one", "path"),
    [
        (call(), "/v1beta/models/m:generateContent"),
        (call(stream=True), "/v1beta/models/m:streamGenerateContent?alt=sse"),
        (call(op="count"), "/v1beta/models/m:countTokens"),
        (call(op="embed", requests=[]), "/v1beta/models/m:batchEmbedContents"),
        (call(op="embed", content={}), "/v1beta/models/m:embedContent"),
        (call("models/a b?c#d"), "/v1beta/models/a%20b%3Fc%23d:generateContent"),
        (call("gemini-2.5-flash"), "/v1beta/models/gemini-2.5-flash:generateContent"),
    ],
)
def test_model_and_verb_are_the_path(one: Call, path: str) -> None:
    request, _ = sent(one)
    assert request.url.raw_path.decode() == path
    assert request.url.host == "generativelanguage.googleapis.com"
    assert request.headers["x-goog-api-key"] == KEY
    assert "authorization" not in request.headers


@pytest.mark.parametrize("base_url", ["http://up.example", "http://up.example/", "http://up.example/v1beta"])
def test_an_address_gets_the_version_that_it_lacks(base_url: str) -> None:
    request, _ = sent(call(), settings(base_url=base_url))
    assert str(request.url) == "http://up.example/v1beta/models/m:generateContent"


def test_a_request_is_bent_to_the_generation_and_nothing_is_called_dropped() -> None:
    contents = [{"role": "model", "parts": [{"functionCall": {"name": "f"}}]}]
    config = {"thinkingConfig": {"thinkingLevel": "none"}}
    request, dropped = sent(call("gemini-3-pro-preview", contents=contents, generationConfig=config))
    body = msgspec.json.decode(request.read())
    assert body["generationConfig"] == {"thinkingConfig": {"thinkingLevel": "low"}}
    assert body["contents"][0]["parts"][0]["thoughtSignature"]
    assert dropped == ()
    request, _ = sent(call("gemini-2.5-flash", contents=contents, generationConfig=config))
    body = msgspec.json.decode(request.read())
    assert body == {"contents": contents, "generationConfig": {"thinkingConfig": {"thinkingBudget": 0}}}


@pytest.mark.parametrize(
    ("model", "taken"),
    [
        ("gemini-4-argon", "low medium high"),
        ("gemini-3.8-flash", "minimal low medium high"),
        ("gemini-3-flash-preview", "minimal low medium high"),
        ("gemini-3.5-flash-lite", "minimal low medium high"),
        ("gemini-3-pro-preview", "low high"),
        ("gemini-3.1-pro-preview", "low medium high"),
        ("gemini-flash-latest", "minimal low medium high"),
        ("gemini-2.5-pro", "128-32768"),
        ("gemini-2.5-flash", "0-24576"),
        ("gemini-2.5-flash-lite", "512-24576"),
        ("gemini-2.0-flash", ""),
        ("gemini-embedding-001", ""),
    ],
)
def test_each_generation_takes_its_own_levels_or_budget(model: str, taken: str) -> None:
    found = catalogue().generation(model)
    assert found is not None
    assert (" ".join(found.levels) or "-".join(map(str, found.budget or ()))) == taken
    assert found.signed is bool(found.levels)


# --- what comes back


def test_the_list_of_models_is_read_page_by_page() -> None:
    pages = {
        "": {
            "models": [
                {
                    "name": "models/new",
                    "inputTokenLimit": 5,
                    "outputTokenLimit": 3,
                    "supportedGenerationMethods": ["generateContent", "countTokens"],
                },
                {
                    "name": "models/gemini-2.5-pro",
                    "inputTokenLimit": 5,
                    "supportedGenerationMethods": ["generateContent"],
                },
                {"name": "models/paint", "supportedGenerationMethods": ["predict"]},
            ],
            "nextPageToken": "two",
        },
        "two": {"models": [{"name": "models/vec", "supportedGenerationMethods": ["embedContent"]}, 7]},
    }

    def respond(request: Request) -> Response:
        assert request.url.path == "/v1beta/models"
        return Response(200, content=msgspec.json.encode(pages[request.url.params.get("pageToken", "")]))

    found = {one.model: one for one in run(provider(settings(), respond).models("up"))}
    assert {name: one.dialects for name, one in found.items()} == {
        "new": ("gemini.generate",),
        "gemini-2.5-pro": ("gemini.generate",),
        "vec": ("gemini.embed",),
    }
    assert (found["new"].card.window, found["new"].card.max_output) == (5, 3)
    assert found["gemini-2.5-pro"].card.window == 1048576, "what is known wins"


@pytest.mark.recordings
def test_reconstructed_errors_are_classified_as_expected() -> None:
    file = Path(__file__).parents[4] / "shared" / "data" / "errors" / "dev.json"
    if not file.is_file():
        pytest.skip("recorded errors are not beside this checkout")
    cases = [one for one in json.loads(file.read_text())["errors"] if one["provider"] == "gemini"]
    assert len(cases) == 3
    judge = provider(settings(), lambda request: Response(200)).judge
    for case in cases:
        failure = judge(case["status"], case["headers"], json.dumps(case["body"]).encode()).failure
        assert failure is not None
        assert failure.kind == case["expect"]["class"], case["id"]
        assert (failure.scope == "account_model") == ("quota_group" in case["expect"]["scope"])


# --- the configuration


def test_an_account_without_a_key_is_no_account() -> None:
    with pytest.raises(ValueError, match="needs a key"):
        settings(accounts=(AccountSettings(id="a"),))
    assert settings(accounts=(AccountSettings(id="a"),), enabled=False)
    with pytest.raises(ValueError, match="base_url"):
        settings(base_url="nonsense")


def test_it_warns_of_accounts_that_name_no_project(caplog: pytest.LogCaptureFixture) -> None:
    groups = {"a": "", "b": "", "c": "project"}
    keys = [AccountSettings(id=id, api_key=Secret(KEY), quota_group=group) for id, group in groups.items()]
    with caplog.at_level(logging.WARNING):
        provider(settings(accounts=(keys[0], keys[2])), lambda request: Response(200))
        assert not caplog.messages
        provider(settings(accounts=tuple(keys)), lambda request: Response(200))
    (message,) = caplog.messages
    assert "quota_group" in message
    assert KEY not in message


@pytest.mark.parametrize(
    ("environ", "key"),
    [
        ({"GEMINI_API_KEY": "a", "GOOGLE_API_KEY": "b"}, "${GEMINI_API_KEY}"),
        ({"GOOGLE_API_KEY": "b"}, "${GOOGLE_API_KEY}"),
    ],
)
def test_a_key_in_the_environment_is_an_entry(environ: dict[str, str], key: str) -> None:
    assert suggest(environ) == {"gemini": {"plugin": "gemini", "api_key": key}}
    assert suggest({}) == {}


def test_models_are_endpoints_of_what_they_speak() -> None:
    found = {one.model: one for one in endpoints(settings(models={"own": ModelSettings(context_window=9)}))}
    assert found["gemini-2.5-pro"].dialects == ("gemini.generate",)
    assert found["gemini-embedding-001"].dialects == ("gemini.embed",)
    assert found[ANY_MODEL].dialects == found["own"].dialects == ("gemini.generate", "gemini.embed")
    assert found["own"].card.window == 9
    assert found["gemini-2.5-pro"].card.keeps == found[ANY_MODEL].card.keeps == {"gemini.generate"}
    assert endpoints(settings(accounts=(AccountSettings(id="a", enabled=False),))) == []
