"""Models that nobody configured, as the SDKs of three vendors see them: found in the upstream's own list."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import anthropic
import openai
import pytest
from google import genai

from llmrouter.testing.upstream import Upstream
from llmrouter.testing.upstream_line import Received, Script
from llmrouter.testing.upstream_openai import chat
from llmrouter.testing.upstream_scripts import JSON, answer, chosen
from tests.harness import Serving, serving

LISTED = [
    {"id": "acme/coder:free", "object": "model", "owned_by": "acme", "context_window": 262_144},
    {"id": "acme/vision/2.5", "object": "model", "owned_by": "acme"},
]


def upstream(request: Received) -> Script:
    if request.path.endswith("/models"):
        return answer(200, JSON, {"object": "list", "data": LISTED})
    return chat("found")


@pytest.fixture(scope="module")
def router() -> Iterator[Serving]:
    with Upstream(chosen(upstream)) as listing:
        entry = {"plugin": "openai", "profile": "custom", "base_url": f"{listing.base_url}/v1", "api_key": "k"}
        with serving(json.dumps({"providers": {"up": entry}, "catalogue": {"refresh": "1h"}})) as router:
            yield router


@pytest.fixture(scope="module")
def client(router: Serving) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{router.base_url}/v1", api_key="any", max_retries=0) as client:
        _await(client)
        yield client


def _await(client: openai.OpenAI) -> None:
    """The list is read in the background, right after the start."""
    end = time.monotonic() + 10
    while time.monotonic() < end:
        if any(model.owned_by == "up" for model in client.models.list()):
            return
    raise AssertionError("no list came")


def test_found_models_are_listed_and_retrieved_by_ids_with_slashes(client: openai.OpenAI) -> None:
    found = {model.id: model for model in client.models.list() if model.owned_by == "up"}
    assert list(found) == ["up/acme/coder:free", "up/acme/vision/2.5"]
    assert found["up/acme/coder:free"].model_extra == {"context_window": 262_144}
    for id in found:
        assert client.models.retrieve(id) == found[id]


@pytest.mark.parametrize("name", ["acme/coder:free", "up/acme/coder:free"])
def test_found_models_are_served(client: openai.OpenAI, name: str) -> None:
    said = client.chat.completions.create(model=name, messages=[{"role": "user", "content": "Hello"}])
    assert said.choices[0].message.content == "found"


# --- the same list, as the SDKs of other vendors see it


FOUND = ["up/acme/coder:free", "up/acme/vision/2.5"]


@pytest.mark.usefixtures("client")
def test_anthropics_sdk_turns_the_pages_and_finds_one(router: Serving) -> None:
    with anthropic.Anthropic(base_url=router.base_url, api_key="any", max_retries=0) as client:
        listed = [model for model in client.models.list(limit=2) if model.id in FOUND]
        assert [model.id for model in listed] == FOUND
        assert (listed[0].type, listed[0].display_name, listed[0].max_input_tokens) == ("model", FOUND[0], 262_144)
        assert client.models.retrieve(FOUND[0]) == listed[0]
        first = client.models.list(limit=1)
        assert (first.has_more, first.first_id) == (True, first.last_id)
        assert client.models.list(before_id=FOUND[1], limit=1).data[0].id == FOUND[0]
        with pytest.raises(anthropic.NotFoundError) as error:
            client.models.retrieve("up/nobody")
    assert error.value.body["error"]["type"] == "not_found_error"  # type: ignore[index]


@pytest.mark.usefixtures("client")
def test_googles_sdk_turns_the_pages_and_finds_one(router: Serving) -> None:
    options = genai.types.HttpOptions(base_url=router.base_url)
    client = genai.Client(api_key="any", http_options=options)
    listed = [model for model in client.models.list(config={"page_size": 2}) if (model.name or "")[7:] in FOUND]
    assert [model.name for model in listed] == [f"models/{name}" for name in FOUND]
    assert (listed[0].input_token_limit, listed[0].output_token_limit) == (262_144, None)
    assert "generateContent" in (listed[0].supported_actions or ())
    assert client.models.get(model=FOUND[0]) == listed[0]
    with pytest.raises(genai.errors.ClientError) as error:
        client.models.get(model="up/nobody")
    assert (error.value.code, error.value.status) == (404, "NOT_FOUND")
    client.close()
