"""Paths that say something of the request, requests that refer to earlier answers, paths that have ended."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import msgspec
import pytest
from attrs import define, evolve

from llmrouter.dialects.common import raw
from llmrouter.errors import InvalidRequest
from llmrouter.types import Fields, Op

from .serving import CHAT, FakeDialect, FakeRouter, FakeWorld, Got, router_with, site


@define
class Placing(FakeDialect):
    """Its paths name the model, and `after` refers to an earlier answer."""

    name: str = "placing"
    id_header: str = "request-id"

    def place(self, path: str, query: str) -> tuple[Op, Fields] | None:
        model, colon, verb = path.removeprefix("/models/").partition(":")
        if not colon:
            return None
        return "chat", {"model": raw(model), "stream": raw(verb == "stream"), "query": raw(query)}

    def refers(self, fields: Fields) -> Sequence[str]:
        return ["last"] if "after" in fields else ()

    def expand(self, fields: Fields, found: Mapping[str, bytes]) -> Fields:
        if "last" not in found:
            raise InvalidRequest("there is no such answer", param="after", code="previous_response_not_found")
        return fields | {"before": msgspec.Raw(found["last"])}


class Remembering:
    def __init__(self, kept: Mapping[tuple[str, str], bytes]) -> None:
        self._kept = kept

    async def find(self, client: str, names: Sequence[str]) -> Mapping[str, bytes]:
        return {name: self._kept[client, name] for name in names if (client, name) in self._kept}

    async def forget(self, client: str, name: str) -> bool:
        return False


def placed(kept: Mapping[tuple[str, str], bytes] | None = None) -> FakeRouter:
    router = router_with()
    router.engine.memory = Remembering(kept or {})  # type: ignore[assignment]
    return evolve(router, world=FakeWorld(dialects={"placing": Placing(), "openai.chat": FakeDialect()}))


def ask(router: FakeRouter, method: str, path: str, body: bytes = b"{}") -> Got:
    async def main() -> Got:
        async with site(router) as one:
            return await one.call(method, path, body)

    return asyncio.run(main())


def test_a_path_may_name_the_model_with_its_slashes() -> None:
    router = placed()
    assert ask(router, "POST", "/models/p/a/b:plain?alt=sse").status == 200
    fields = router.engine.requests[0].fields
    assert {name: msgspec.json.decode(value) for name, value in fields.items()} == {
        "model": "p/a/b",
        "stream": False,
        "query": "alt=sse",
    }


def test_a_path_of_nobody_is_not_found_and_one_of_another_method_says_so() -> None:
    assert ask(placed(), "POST", "/models/p/a").status == 404
    got = ask(placed(), "GET", "/models/p/a:plain")
    assert (got.status, got.headers["allow"]) == (405, "POST")


def test_what_a_request_refers_to_is_put_in_before_it_is_looked_at() -> None:
    router = placed({("anonymous", "last"): b'"hi"'})
    assert ask(router, "POST", "/models/m:plain", b'{"after": 1}').status == 200
    assert router.engine.requests[0].fields["before"] == msgspec.Raw(b'"hi"')


def test_what_another_client_kept_is_not_found() -> None:
    got = ask(placed({("dev", "last"): b'"hi"'}), "POST", "/models/m:plain", b'{"after": 1}')
    assert (got.status, got.json["error"]["code"]) == (400, "previous_response_not_found")
    assert got.headers["request-id"] == got.headers["x-request-id"]


@pytest.mark.parametrize("path", ["/v1/assistants", "/v1/threads/t_1/runs"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_assistants_have_ended(method: str, path: str) -> None:
    got = ask(placed(), method, path)
    assert (got.status, got.json["error"]["code"]) == (410, "endpoint_retired")
    assert "/v1/responses" in got.json["error"]["message"]


def test_a_dialect_without_references_is_not_asked_for_any() -> None:
    router = placed()
    assert ask(router, "POST", CHAT, b'{"model": "m", "messages": [], "after": 1}').status == 200
