"""Stored responses: looked at, listed and deleted by the key they were made for, and by no other."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import pytest

from llmrouter.dialects.responses_state import name_of, name_of_item
from llmrouter.server.auth import ANONYMOUS, key_hash
from llmrouter.settings import ClientKeySettings
from tests.serving import FakeRouter, Got, router_with, site

ID = "resp_1"
PATH = f"/v1/responses/{ID}"
RESPONSE = b'{"id":"resp_1", "output":[{"id":"msg_1","type":"message"},{"type":"odd"}]}'
INPUT = b'[{"role":"user","content":"a"},{"role":"user","content":"b"},{"role":"user","content":"c"}]'
STORED = b'{"input":%b,"response":%b}' % (INPUT, RESPONSE)


class Kept:
    """A memory that holds one response of one client."""

    def __init__(self, client: str = ANONYMOUS) -> None:
        self.values = {(client, name_of(ID)): STORED, (client, name_of_item("msg_1")): b"{}"}

    async def find(self, client: str, names: Sequence[str]) -> Mapping[str, bytes]:
        return {name: self.values[client, name] for name in names if (client, name) in self.values}

    async def forget(self, client: str, name: str) -> bool:
        return self.values.pop((client, name), None) is not None


def router_of(memory: Kept, **server: Any) -> FakeRouter:
    router = router_with(**server)
    router.engine.memory = memory  # type: ignore[assignment]
    return router


def ask(*calls: tuple[str, str], router: FakeRouter | None = None, **headers: str) -> list[Got]:
    async def main() -> list[Got]:
        async with site(router or router_of(Kept())) as one:
            return [await one.call(method, path, b"", **headers) for method, path in calls]

    return asyncio.run(main())


def get(path: str, router: FakeRouter | None = None, **headers: str) -> Got:
    return ask(("GET", path), router=router, **headers)[0]


def texts(got: Got) -> list[str]:
    return [item["content"][0]["text"] for item in got.json["data"]]


def test_a_stored_response_is_given_back_as_it_was() -> None:
    got = get(PATH)
    assert (got.status, got.body) == (200, RESPONSE)


def test_only_the_key_it_was_made_for_may_see_it() -> None:
    keys = tuple(ClientKeySettings(name=name, hash=key_hash(name)) for name in ("ada", "bob"))
    router = router_of(Kept("ada"), keys=keys)
    assert get(PATH, router, authorization="Bearer ada").status == 200
    for path in (PATH, f"{PATH}/input_items"):
        refused = get(path, router, authorization="Bearer bob")
        assert (refused.status, refused.json["error"]["code"]) == (404, "not_found")
    assert get(PATH, router).status == 401


def test_with_a_response_go_the_items_of_its_output() -> None:
    memory = Kept()
    deleted, again = ask(("DELETE", PATH), ("DELETE", PATH), router=router_of(memory))
    assert deleted.json == {"id": ID, "object": "response", "deleted": True}
    assert (again.status, memory.values) == (404, {})


@pytest.mark.parametrize(
    ("query", "found", "more"),
    [
        ("", ["c", "b", "a"], False),
        ("?order=asc", ["a", "b", "c"], False),
        ("?order=asc&limit=2", ["a", "b"], True),
        ("?order=asc&limit=1&after=msg_10000", ["b"], True),
        ("?limit=2&after=msg_10001", ["a"], False),
        ("?after=msg_10000", [], False),
    ],
)
def test_input_items_are_listed_page_by_page(query: str, found: list[str], more: bool) -> None:
    got = get(f"{PATH}/input_items{query}")
    assert (texts(got), got.json["has_more"], got.json["object"]) == (found, more, "list")
    ids = [item["id"] for item in got.json["data"]] or [None]
    assert (got.json["first_id"], got.json["last_id"]) == (ids[0], ids[-1])


@pytest.mark.parametrize(
    ("path", "param"),
    [
        (f"{PATH}/input_items?limit=0", "limit"),
        (f"{PATH}/input_items?limit=101", "limit"),
        (f"{PATH}/input_items?limit=x", "limit"),
        (f"{PATH}/input_items?order=up", "order"),
        (f"{PATH}/input_items?after=nothing", "after"),
        (f"{PATH}?stream=true", "stream"),
    ],
)
def test_what_cannot_be_listed_or_streamed_is_said(path: str, param: str) -> None:
    got = get(path)
    assert (got.status, got.json["error"]["param"]) == (400, param)


@pytest.mark.parametrize(("id", "status"), [(ID, 400), ("resp_9", 404)])
def test_nothing_runs_in_the_background_to_be_cancelled(id: str, status: int) -> None:
    (got,) = ask(("POST", f"/v1/responses/{id}/cancel"))
    assert got.status == status


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", PATH, "GET, HEAD, DELETE"),
        ("POST", f"{PATH}/input_items", "GET, HEAD"),
        ("GET", f"{PATH}/cancel", "POST"),
    ],
)
def test_other_methods_are_named(method: str, path: str, allowed: str) -> None:
    (got,) = ask((method, path))
    assert (got.status, got.headers["allow"]) == (405, allowed)


def test_other_paths_below_are_nothing() -> None:
    assert get(f"{PATH}/thoughts").status == 404
    assert get("/v1/responses/").status == 404
    assert msgspec.json.decode(get("/v1/responses/a%2Fb").body)["error"]["code"] == "not_found"
