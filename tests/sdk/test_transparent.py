"""An upstream that answers one client program alone: that one goes through, all others go elsewhere."""

from __future__ import annotations

import json
from collections.abc import Iterator

import anthropic
import openai
import pytest

from llmrouter.testing.upstream import Upstream
from llmrouter.testing.upstream_anthropic import Messages
from tests.harness import Serving, serving

CLAUDE_CODE = {
    "user-agent": "claude-cli/2.1.197 (external, sdk-cli)",
    "x-app": "cli",
    "anthropic-beta": "claude-code-20250219",
}


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[Serving, Upstream, Upstream]]:
    with Upstream(Messages("routed").answer()) as agent, Upstream(Messages("direct").answer()) as own:
        known = {"plugin": "anthropic", "api_key": "k", "models": {"m": {}}}
        setup = {
            "providers": {
                "agent": {**known, "profile": "agentrouter", "base_url": agent.base_url},
                "own": {**known, "profile": "custom", "base_url": own.base_url},
            },
            "groups": {"both": [["agent/m"], ["own/m"]]},
            "logging": {"level": "error"},
        }
        with serving(json.dumps(setup)) as router:
            yield router, agent, own


@pytest.fixture
def client(served: tuple[Serving, Upstream, Upstream]) -> Iterator[anthropic.Anthropic]:
    for upstream in served[1:]:
        upstream.clear()
    with anthropic.Anthropic(base_url=served[0].base_url, api_key="any", max_retries=0) as client:
        yield client


def said(client: anthropic.Anthropic, model: str, headers: dict[str, str] | None = None) -> str:
    messages: list[anthropic.types.MessageParam] = [{"role": "user", "content": "Hello"}]
    answer = client.messages.create(model=model, max_tokens=9, messages=messages, extra_headers=headers)
    block = answer.content[0]
    assert block.type == "text"
    return block.text


def test_the_client_that_it_answers_goes_through_as_it_is(
    client: anthropic.Anthropic, served: tuple[Serving, Upstream, Upstream]
) -> None:
    assert said(client, "both", CLAUDE_CODE) == "routed"
    (request,) = served[1].requests
    assert {name: request.headers[name] for name in CLAUDE_CODE} == CLAUDE_CODE
    assert request.headers["authorization"] == "Bearer k"
    assert request.path == "/v1/messages?beta=true"


def test_any_other_client_is_answered_elsewhere_and_nothing_is_held_against_it(
    client: anthropic.Anthropic, served: tuple[Serving, Upstream, Upstream]
) -> None:
    router, agent, _ = served
    for _ in range(6):  # more than a breaker takes
        assert said(client, "both") == "direct"
    with openai.OpenAI(base_url=f"{router.base_url}/v1", api_key="any", max_retries=0) as chat:
        answer = chat.chat.completions.create(model="both", messages=[{"role": "user", "content": "Hello"}])
    assert answer.choices[0].message.content == "direct"
    assert agent.requests == []
    assert said(client, "both", CLAUDE_CODE) == "routed"


def test_where_there_is_nowhere_else_the_client_is_told_why(client: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.APIStatusError, match="answers Claude Code alone"):
        said(client, "agent/m")
