"""Stored responses: looked at, listed and deleted by the key that they were made for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, unquote

from llmrouter.dialects.common import loads
from llmrouter.dialects.responses_state import Stored, listed, name_of, name_of_item, read_stored
from llmrouter.errors import InvalidRequest
from llmrouter.protocols import ASGIScope

from .answers import Answer, Refused, invalid, refusal, said, trouble
from .auth import Keys
from .needs import Router

PREFIX = "/v1/responses/"
MOST = 100
USUAL = 20
"""Items of one page of a list."""

WRONG_METHOD = trouble(405, "method_not_allowed", "This path is served, but not for this method.")
DONE = trouble(400, "invalid_request_error", "Only a response that is made in the background can be cancelled.")
METHODS: Mapping[str, tuple[str, ...]] = {
    "": ("GET", "HEAD", "DELETE"),
    "input_items": ("GET", "HEAD"),
    "cancel": ("POST",),
}
"""What is served of a response: the end of the path, and its methods."""

Query = Mapping[str, str]


class StoredResponses:
    """The pages of stored responses. They raise Refused."""

    def __init__(self, router: Router, keys: Keys) -> None:
        self._memory = router.engine.memory
        self._keys = keys

    def serves(self, path: str) -> bool:
        _, _, rest = path.removeprefix(PREFIX).partition("/")
        return path.startswith(PREFIX) and rest in METHODS

    async def answer(self, scope: ASGIScope, headers: Mapping[str, str]) -> Answer:
        client = self._keys.check(headers, scope["query_string"])
        id, _, rest = scope["path"].removeprefix(PREFIX).partition("/")
        allowed = METHODS[rest]
        if scope["method"] not in allowed:
            return refusal(WRONG_METHOD, None, {"allow": ", ".join(allowed)})
        id = unquote(id)
        stored = await self._find(client, id)
        if rest == "cancel":
            raise Refused(DONE)
        if scope["method"] == "DELETE":
            return await self._delete(client, id, stored)
        query = {name: values[-1] for name, values in parse_qs(scope["query_string"].decode("latin-1")).items()}
        return said(_page(listed(stored, id), query) if rest else _whole(stored, query))

    async def _find(self, client: str, id: str) -> Stored:
        name = name_of(id)
        found = await self._memory.find(client, [name])
        if name not in found:
            raise Refused(trouble(404, "not_found", f"Response with id '{id}' not found.", "not_found"))
        return read_stored(found[name])

    async def _delete(self, client: str, id: str, stored: Stored) -> Answer:
        """With the response go the items of its output; what was made from it keeps its own copy."""
        for item in loads(stored.response).get("output") or ():
            if isinstance(item, dict) and item.get("id"):
                await self._memory.forget(client, name_of_item(str(item["id"])))
        deleted = await self._memory.forget(client, name_of(id))
        return said({"id": id, "object": "response", "deleted": deleted})


def _whole(stored: Stored, query: Query) -> Any:
    if query.get("stream", "false") != "false":
        message = "A stored response is not streamed again; leave `stream` out."
        raise Refused(invalid(InvalidRequest(message, param="stream", code="unsupported_parameter")))
    return stored.response


def _page(items: list[dict[str, Any]], query: Query) -> dict[str, Any]:
    limit, order = query.get("limit", str(USUAL)), query.get("order", "desc")
    if not (limit.isascii() and limit.isdigit() and 0 < int(limit[:9]) <= MOST):
        raise Refused(invalid(InvalidRequest(f"`limit` is between 1 and {MOST}.", param="limit")))
    if order not in ("asc", "desc"):
        raise Refused(invalid(InvalidRequest("`order` is asc or desc.", param="order")))
    if order == "desc":
        items = items[::-1]
    if after := query.get("after"):
        ids = [item["id"] for item in items]
        if after not in ids:
            raise Refused(invalid(InvalidRequest(f"There is no item '{after}' here.", param="after")))
        items = items[ids.index(after) + 1 :]
    page = items[: int(limit)]
    return {
        "object": "list",
        "data": page,
        "first_id": page[0]["id"] if page else None,
        "last_id": page[-1]["id"] if page else None,
        "has_more": len(items) > len(page),
    }
