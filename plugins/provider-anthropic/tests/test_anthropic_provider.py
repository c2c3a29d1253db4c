from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import msgspec
import pytest
from llmrouter_provider_anthropic import build, llmrouter_register_providers
from llmrouter_provider_anthropic.config import AnthropicSettings, endpoints, suggest
from llmrouter_provider_anthropic.profile import load, names
from llmrouter_provider_anthropic.provider import MOST_PAGES, AnthropicProvider

from llmrouter.plugins import Plugins
from llmrouter.protocols import ListsModels, Reply
from llmrouter.provider import AccountSettings, MockTransport, ModelSettings, Request, Response, Secret
from llmrouter.testing import run
from llmrouter.testing.context import FakeContext
from llmrouter.testing.provider_http import HTTPProviderContract
from llmrouter.testing.upstream_anthropic import Count, Messages
from llmrouter.types import Call, Endpoint, Op, Wire

KEY = "topsecret-0123456789"
(DESCRIPTOR,) = llmrouter_register_providers()
ASKED: Mapping[str, Any] = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
CLAUDE_CODE: Mapping[str, str] = {
    "user-agent": "claude-cli/2.1.197 (external, sdk-cli)",
    "x-app": "cli",
    "anthropic-version": "2023-06-01",
    "anthropic-beta": "claude-code-20250219",
    "x-stainless-lang": "js",
}


class TestOverOurs(HTTPProviderContract):
    descriptor = DESCRIPTOR
    speaker = Messages(delay=0.002)
    entry = MappingProxyType({"profile": "custom"})
    listed: Mapping[str, Any] = MappingProxyType(
        {"data": [{"id": "some-model", "type": "model"}], "has_more": False}
    )


class TestOverHttpx(TestOverOurs):
    client = "httpx"


class TestCount(TestOverOurs):
    speaker = Count()


class TestWithBearer(TestOverOurs):
    entry = MappingProxyType({"profile": "custom", "auth": "bearer"})


def settings(profile: str = "custom", base_url: str | None = "http://up.example", **how: Any) -> AnthropicSettings:
    accounts = (AccountSettings(id="up", api_key=Secret(KEY)), AccountSettings(id="off", enabled=False))
    return AnthropicSettings(
        name="up", plugin="anthropic", profile=profile, base_url=base_url, accounts=accounts, **how
    )


def call(config: AnthropicSettings, model: str = "m", op: Op = "chat", **how: Any) -> Call:
    body: Mapping[str, Any] = {**ASKED, **how.pop("body", {})}
    known = {one.model: one for one in endpoints(config)}
    endpoint = known.get(model) or Endpoint(
        provider="up", model=model, dialects=known["*"].dialects, accounts=known["*"].accounts
    )
    fields = {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in body.items() if value is not None}
    wire = Wire("anthropic.messages", bool(body.get("stream")))
    return Call(endpoint=endpoint, account=endpoint.accounts[0], op=op, wire=wire, fields=fields, **how)


def mocked(config: AnthropicSettings, seen: list[Request], *answers: Response) -> AnthropicProvider:
    waiting = list(answers)

    def respond(request: Request) -> Response:
        seen.append(request)
        return waiting.pop(0) if waiting else Response(200, content=b"{}")

    return build(config, FakeContext("up", transport=MockTransport(respond)))


def exchanged(config: AnthropicSettings, one: Call) -> tuple[list[Request], Reply]:
    async def main() -> tuple[list[Request], Reply]:
        seen: list[Request] = []
        reply = await mocked(config, seen).send(one)
        reply.close()
        return seen, reply

    return run(main())


def sent(config: AnthropicSettings, one: Call) -> Request:
    (request,), _ = exchanged(config, one)
    return request


def body(config: AnthropicSettings, one: Call) -> Any:
    return msgspec.json.decode(sent(config, one).read())


def test_the_plugin_is_found_by_its_entry_point() -> None:
    assert Plugins.discover().get("provider", "anthropic").config is AnthropicSettings


# --- entries


def test_a_key_in_the_environment_is_an_entry() -> None:
    assert suggest({"ANTHROPIC_API_KEY": "x"}) == {
        "anthropic": {"plugin": "anthropic", "profile": "anthropic", "api_key": "${ANTHROPIC_API_KEY}"}
    }
    assert suggest({"KIMI_CODE_API_KEY": "x"})["kimi-code"]["api_key"] == "${KIMI_CODE_API_KEY}"
    assert suggest({"OTHER": "x"}) == {}


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"profile": "anthropc"}, "Did you mean 'anthropic'"),
        ({"profile": "zzz"}, "There are: agentrouter, anthropic"),
        ({"base_url": None}, "set `base_url`"),
        ({"base_url": "ftp://x"}, "base_url must be"),
    ],
)
def test_an_entry_that_cannot_work_says_why(how: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        settings(**how)


def test_a_key_is_needed_where_the_profile_needs_one() -> None:
    with pytest.raises(ValueError, match="needs a key"):
        AnthropicSettings(name="up", plugin="anthropic", accounts=(AccountSettings(id="up"),))
    without = AnthropicSettings(
        name="up", plugin="anthropic", profile="custom", base_url="http://x", accounts=(AccountSettings(id="up"),)
    )
    headers = sent(without, call(without)).headers
    assert not {"x-api-key", "authorization"} & headers.keys()


@pytest.mark.parametrize("name", names())
def test_a_profile_is_whole(name: str) -> None:
    profile = load(name)
    assert profile.about.endswith(".")
    assert (profile.base_url is None) == (name == "custom")
    for id, model in profile.models.items():
        assert model.price is not None, id
        assert model.context_window, id
        assert model.max_output, id
        assert model.thinking is not None, id
        assert model.thinking <= {"enabled", "adaptive"}, id
        assert set(model.efforts) <= {"low", "medium", "high", "xhigh", "max"}, id
        assert bool(model.efforts) >= ("adaptive" in model.thinking), id


def test_models_have_cards_and_every_other_id_an_endpoint() -> None:
    config = settings("anthropic", models={"own": ModelSettings(max_output=7)})
    known = {one.model: one for one in endpoints(config)}
    assert known["own"].card.max_output == 7
    assert known["*"].card.abilities is None
    newest = next(iter(known.values()))
    assert newest.card.price
    assert newest.card.price.cache_write_1h == 2 * newest.card.price.input
    assert newest.card.window == 1_000_000
    for one in known.values():
        assert one.card.keeps == {"anthropic.messages"}
        assert one.ops == {"chat", "count"}
        assert [account.id for account in one.accounts] == ["up"]


def test_an_entry_without_an_account_has_no_endpoints() -> None:
    config = AnthropicSettings(name="up", plugin="anthropic", profile="custom", base_url="http://x")
    assert endpoints(config) == []


# --- addresses and headers


@pytest.mark.parametrize("base", ["http://up.example", "http://up.example/v1/", "http://up.example/v1/messages"])
@pytest.mark.parametrize(("op", "path"), [("chat", "/v1/messages"), ("count", "/v1/messages/count_tokens")])
def test_the_operation_decides_the_path(base: str, op: Op, path: str) -> None:
    config = settings(base_url=base)
    assert str(sent(config, call(config, op=op)).url) == f"http://up.example{path}"


def test_key_and_version_go_along() -> None:
    config = settings("anthropic", headers={"X-Team": "blue"})
    headers = sent(config, call(config, headers={"anthropic-version": "2026-10-21"})).headers
    assert (headers["x-api-key"], headers["anthropic-version"], headers["x-team"]) == (KEY, "2023-06-01", "blue")
    assert "authorization" not in headers
    config = settings("synthetic", api_version="2026-10-21")
    headers = sent(config, call(config)).headers
    assert (headers["authorization"], headers["anthropic-version"]) == (f"Bearer {KEY}", "2026-10-21")
    assert "x-api-key" not in headers


def test_of_the_clients_headers_its_betas_go_on_and_to_anthropic_alone() -> None:
    config = settings("anthropic", betas=["ours-2026"])
    headers = sent(config, call(config, headers=CLAUDE_CODE)).headers
    assert headers["anthropic-beta"] == "ours-2026,claude-code-20250219"
    assert headers["user-agent"].startswith("llmrouter/")
    assert not {"x-app", "x-stainless-lang"} & headers.keys()
    config = settings("deepseek")
    assert "anthropic-beta" not in sent(config, call(config, headers=CLAUDE_CODE)).headers


# --- AgentRouter


def test_claude_code_goes_to_agentrouter_as_it_is() -> None:
    config = settings("agentrouter", base_url=None)
    request = sent(config, call(config, headers=CLAUDE_CODE))
    assert str(request.url) == "https://agentrouter.org/v1/messages?beta=true"
    assert {name: request.headers[name] for name in CLAUDE_CODE} == CLAUDE_CODE
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.headers.get_list("user-agent") == [CLAUDE_CODE["user-agent"]]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"user-agent": "OpenAI/Python 3.51.0", "x-app": "cli"},
        {name: value for name, value in CLAUDE_CODE.items() if name != "x-app"},
    ],
)
def test_nobody_else_goes_to_agentrouter_and_nobody_is_dressed_up(headers: Any) -> None:
    config = settings("agentrouter", base_url=None)

    async def main() -> None:
        seen: list[Request] = []
        provider = mocked(config, seen)
        reply = await provider.send(call(config, headers=headers))
        said = b"".join([chunk async for chunk in reply.chunks()])
        reply.close()
        failure = provider.judge(reply.status, reply.headers, said).failure
        assert failure
        assert (failure.kind, failure.scope) == ("forbidden_model", "request")
        assert "answers Claude Code alone" in failure.message
        assert seen == []

    run(main())


# --- bodies


def test_what_need_not_be_bent_stays_byte_for_byte() -> None:
    config = settings("anthropic")
    raw = {"max_tokens": msgspec.Raw(b"9.0"), "messages": msgspec.Raw(b'[ {"role":"user"} ]')}
    one = msgspec.structs.replace(call(config, "claude-like"), fields=raw)
    assert sent(config, one).read() == b'{"max_tokens":9.0,"messages":[ {"role":"user"} ]}'


@pytest.mark.parametrize(
    ("most", "thinking", "length"),
    [
        (None, None, 8192),
        (777, None, 777),
        (None, {"type": "enabled", "budget_tokens": 2000}, 10_192),
        (None, {"type": "enabled", "budget_tokens": "many"}, 8192),  # the vendor will complain
    ],
)
def test_an_answer_has_a_length_though_nobody_says_it(most: int | None, thinking: Any, length: int) -> None:
    config = settings(models={"m": ModelSettings(max_output=most)})
    one = call(config, body={"max_tokens": None, "thinking": thinking})
    assert body(config, one)["max_tokens"] == length
    assert "max_tokens" not in body(config, call(config, op="count", body={"max_tokens": None}))


def test_a_model_is_told_how_to_think_in_the_way_it_knows() -> None:
    config = settings("anthropic")
    models = load("anthropic").models
    by_budget = next(id for id, one in models.items() if one.thinking == {"enabled"} and not one.efforts)
    by_effort = next(id for id, one in models.items() if one.thinking == {"adaptive"})
    asked = {"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}, "max_tokens": 9000}
    said = body(config, call(config, by_budget, body=asked))
    assert said["thinking"] == {"type": "enabled", "budget_tokens": 4096}
    assert "output_config" not in said
    asked = {"thinking": {"type": "enabled", "budget_tokens": 1024}, "temperature": 1, "max_tokens": 9000}
    seen, reply = exchanged(config, call(config, by_effort, body=asked))
    said = msgspec.json.decode(seen[0].read())
    assert (said["thinking"], said["output_config"]) == ({"type": "adaptive"}, {"effort": "low"})
    assert "temperature" not in said
    assert getattr(reply, "dropped", ()) == ("thinking", "temperature")


def test_an_edition_of_a_model_is_that_model_and_of_an_unknown_one_nothing_is_assumed() -> None:
    config = settings("anthropic")
    known = next(id for id, one in load("anthropic").models.items() if one.thinking == {"enabled"})
    asked = {"thinking": {"type": "adaptive"}, "max_tokens": 9000}
    assert body(config, call(config, f"{known}-20301231", body=asked))["thinking"]["type"] == "enabled"
    assert body(config, call(config, f"{known}@20301231", body=asked))["thinking"]["type"] == "enabled"
    assert body(config, call(config, "unknown", body=asked))["thinking"] == {"type": "adaptive"}


def test_a_later_version_takes_no_sampling() -> None:
    asked = {"temperature": 0.5, "top_p": 0.9, "top_k": 7}
    config = settings(api_version="2026-10-21")
    seen, reply = exchanged(config, call(config, body=asked))
    assert msgspec.json.decode(seen[0].read()) == ASKED
    assert getattr(reply, "dropped", ()) == ("temperature", "top_p", "top_k")
    config = settings()
    assert body(config, call(config, body=asked)) == {**ASKED, **asked}


# --- lists of models


def listed(config: AnthropicSettings, *answers: Any) -> tuple[list[Endpoint], list[str]]:
    async def main() -> tuple[list[Endpoint], list[str]]:
        seen: list[Request] = []
        provider = mocked(config, seen, *[Response(200, json=one) for one in answers])
        assert isinstance(provider, ListsModels)
        return list(await provider.models("up")), [str(one.url) for one in seen]

    return run(main())


def test_a_list_is_read_page_by_page_with_what_it_says_of_models() -> None:
    has = {"supported": True}
    first = {
        "id": "a",
        "max_input_tokens": 9,
        "max_tokens": 3,
        "capabilities": {"image_input": has, "structured_outputs": {"supported": False}, "pdf_input": has},
    }
    found, asked = listed(
        settings("anthropic"),
        {"data": [first], "has_more": True, "last_id": "a"},
        {"data": [{"id": "b"}], "has_more": False, "last_id": "b"},
    )
    assert [(one.model, one.card.window, one.card.max_output) for one in found] == [("a", 9, 3), ("b", None, None)]
    assert [one.card.abilities for one in found] == [frozenset({"tools", "vision", "files"}), None]
    assert asked == ["http://up.example/v1/models?limit=1000", "http://up.example/v1/models?limit=1000&after_id=a"]


def test_a_list_that_never_ends_is_left_after_some_pages() -> None:
    pages = [{"data": [{"id": f"m{at}"}], "has_more": True, "last_id": f"m{at}"} for at in range(MOST_PAGES + 5)]
    found, asked = listed(settings("anthropic"), *pages)
    assert len(found) == len(asked) == MOST_PAGES


def test_a_list_that_repeats_itself_is_left() -> None:
    page = {"data": [{"id": "a"}], "has_more": True, "last_id": "a"}
    found, asked = listed(settings("anthropic"), page, page, page)
    assert len(asked) == 2
    assert len(found) == 2


@pytest.mark.parametrize("said", [{}, [], {"data": None}, {"data": [1, {"x": 2}]}, 7])
def test_a_list_of_another_shape_is_empty(said: Any) -> None:
    assert listed(settings("anthropic"), said)[0] == []


def test_some_have_no_list() -> None:
    assert listed(settings("kimi-code")) == ([], [])
