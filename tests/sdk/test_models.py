"""Models that nobody configured, as OpenAI's SDK sees them: found in the upstream's own list."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import openai
import pytest

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
