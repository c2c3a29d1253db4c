"""Vendors' oddities that were recorded, told to the OpenAI SDK in the other shape."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import openai
import pytest

from llmrouter.testing.upstream import Upstream
from llmrouter.testing.upstream_openai import USAGE
from llmrouter.testing.upstream_scripts import JSON, answer
from tests.faults.setups import config
from tests.harness import serving
from tests.recordings.library import Exchange, exchanges, require

from .picking import CACHED_APART
from .recorded import Replays, replays
from .said import choices, recorded, reported
from .validating import strict

EMPTY_CALL = "snowflake/pydantic-ai--test_snowflake__test_snowflake_openai_model.json#0"
COMPLETION = "openai/openllmetry--test_query__test_pinecone_retrieval.json#1"


@pytest.fixture(scope="module")
def library() -> dict[str, Exchange]:
    require()
    return {one.id: one for one in exchanges()[0] if one.id in (CACHED_APART, EMPTY_CALL, COMPLETION)}


@pytest.fixture(scope="module")
def replayed(library: dict[str, Exchange]) -> Iterator[Replays]:
    with replays(list(library.values()), cache={"plugin": "memory"}) as replayed:
        yield replayed


@pytest.mark.recordings
def test_an_empty_function_call_is_no_call(library: dict[str, Exchange], replayed: Replays) -> None:
    one = library[EMPTY_CALL]
    said = choices(replayed.ask(one, stream=True).bodies)[0]
    assert said == choices(recorded(one))[0]


@pytest.mark.recordings
def test_cached_tokens_beside_the_prompt_s_are_added_to_them(
    library: dict[str, Exchange], replayed: Replays
) -> None:
    one = library[CACHED_APART]
    before = reported(recorded(one))
    after = reported(replayed.ask(one, stream=True, stream_options={"include_usage": True}).bodies)
    cached = before["prompt_tokens_details"]["cached_tokens"]
    assert cached > before["prompt_tokens"]
    assert after["prompt_tokens_details"]["cached_tokens"] == cached
    assert after["prompt_tokens"] == before["prompt_tokens"] + cached


@pytest.mark.recordings
def test_a_replayed_completion_has_the_id_of_a_completion(library: dict[str, Exchange], replayed: Replays) -> None:
    one = library[COMPLETION]
    first, second = replayed.ask(one), replayed.ask(one)
    assert (first.cache, second.cache) == ("miss", "hit")
    assert [first.bodies[0]["id"][:5], second.bodies[0]["id"][:5]] == ["cmpl-", "cmpl-"]


@pytest.mark.parametrize("id", ["1", "echo", "chatcmpl"])
def test_a_fresh_id_changes_nothing_but_the_id(id: str) -> None:
    """Servers on one's own machine answer every request under one short id."""
    message = {"role": "assistant", "content": "echo 1, chatcmpl 1"}
    body: dict[str, Any] = {
        "id": id,
        "object": "chat.completion",
        "created": 1,
        "model": "echo-1",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}],
        "usage": USAGE,
    }
    with (
        Upstream(answer(200, JSON, body)) as upstream,
        serving(config({"p": upstream.base_url}, {"fast": ["p/m"]}, cache={"plugin": "memory"})) as router,
        openai.OpenAI(base_url=f"{router.base_url}/v1", api_key="any", max_retries=0) as client,
    ):
        ask: Any = {"model": "fast", "messages": [{"role": "user", "content": "Say it."}], "temperature": 0}
        first = client.chat.completions.create(**ask)
        second = client.chat.completions.create(**ask)
    assert len(upstream.requests) == 1
    strict(second)
    assert second.id != id
    assert second.to_dict() == {**first.to_dict(), "id": second.id}
