"""Recorded rankings of every vendor, and Voyage's embeddings, through the adapter and through the whole server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from llmrouter.types import Fault, Finish, Result, Spent

from .comparing import changes, same_body
from .families import KEY, RERANK
from .library import Exchange, exchanges, require
from .replaying import Stage, stage

pytestmark = pytest.mark.recordings

COUNTS = {
    ("cohere", "rerank"): 4,
    ("llamacpp", "rerank"): 1,
    ("openrouter", "rerank"): 1,
    ("together", "rerank"): 1,
    ("voyage", "embeddings"): 6,
    ("voyage", "rerank"): 1,
}


@pytest.fixture(scope="module")
def library() -> list[Exchange]:
    require()
    return exchanges(RERANK)[0]


@pytest.fixture(scope="module")
def staged(library: list[Exchange]) -> Iterator[Stage]:
    with stage(library, RERANK) as staged:
        yield staged


def test_all_that_was_recorded_is_here(library: list[Exchange]) -> None:
    found = [(one.provider, one.endpoint) for one in library]
    assert {kind: found.count(kind) for kind in found} == COUNTS


def test_the_adapter_carries_what_was_recorded(library: list[Exchange], staged: Stage) -> None:
    for exchange in library:
        carried = staged.carry(exchange)
        assert carried.status == exchange.status
        assert KEY in carried.received.headers["authorization"]
        assert carried.received.path.endswith("/" + exchange.path.rpartition("/")[2])
        assert changes(exchange.request, carried.received.body) == {}
        assert b"".join(frame.raw for frame in carried.frames) == exchange.body
        if exchange.status >= 400:
            assert carried.verdict.failure
            assert carried.verdict.failure.kind == (
                "not_found" if exchange.provider == "voyage" else "invalid_request"
            )
        else:
            assert carried.verdict.failure is None
            _means_the_same(exchange, carried.events)


def _means_the_same(exchange: Exchange, events: list[Any]) -> None:
    recorded = json.loads(exchange.body)
    assert not [event for event in events if isinstance(event, Fault)]
    assert isinstance(events[-1], Finish)
    (value,) = [event.value for event in events if isinstance(event, Result)]
    (usage,) = [event.usage for event in events if isinstance(event, Spent)]
    if exchange.endpoint == "rerank":
        listed = recorded.get("results") or recorded["data"]
        assert [(hit.index, hit.relevance_score) for hit in value.hits] == [
            (one["index"], one["relevance_score"]) for one in listed
        ]
    else:
        assert len(value) == len(recorded["data"])
        assert {len(vector) for vector in value} <= {512, 1024}
    assert usage.prompt == recorded.get("usage", {}).get("total_tokens", 0)
    assert usage.searches == recorded.get("meta", {}).get("billed_units", {}).get("search_units", 0)
    assert usage.cost == recorded.get("usage", {}).get("cost")


def test_the_whole_server_passes_on_what_was_recorded(library: list[Exchange], staged: Stage) -> None:
    for exchange in library:
        got, _, received = staged.serve(exchange)
        if exchange.status >= 400:
            assert got.status in (400, 404)
            assert got.error["message"]
            continue
        assert received is not None
        assert got.status == 200, got.body
        expected = exchange.body
        if exchange.endpoint == "embeddings" and (total := json.loads(expected)["usage"]["total_tokens"]):
            assert got.json["usage"] == {"prompt_tokens": total, "total_tokens": total}, (
                "what OpenAI's SDK looks up"
            )
            assert got.json | {"usage": {"total_tokens": total}, "model": ""} == json.loads(expected) | {
                "model": ""
            }
        else:
            assert same_body(expected, got.body) == []


@pytest.mark.parametrize(
    ("asked", "listed", "shown"),
    [({"top_n": 2}, "results", {"text": "two"}), ({"top_k": 2}, "data", "two")],
)
def test_any_vendor_answers_any_client(
    library: list[Exchange], staged: Stage, asked: dict[str, int], listed: str, shown: Any
) -> None:
    """Who asks in Cohere's words or in Voyage's is answered in them, with the documents where they were wanted."""
    for exchange in library:
        if exchange.endpoint != "rerank" or exchange.status >= 400:
            continue
        staged.serve(exchange)  # readies the upstream
        documents = ["one", "two", "three", "four", "five", "six"]
        body = {"model": f"{staged.names[exchange.id]}/m", "query": "q", "documents": documents, **asked}
        plain = staged.router.post("/v2/rerank", body).json[listed]
        assert [hit["relevance_score"] for hit in plain] == sorted([hit["relevance_score"] for hit in plain])[::-1]
        returned = staged.router.post("/rerank", body | {"return_documents": True}).json[listed]
        documented = {hit["index"]: hit["document"] for hit in returned}
        assert all(isinstance(one, type(shown)) for one in documented.values())
        if exchange.provider != "openrouter" and 1 in documented:
            assert documented[1] == shown
