"""What is served beside the dialects: the list of models, health, and the operator's view."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs

from llmrouter import __version__
from llmrouter.errors import InvalidRequest
from llmrouter.protocols import ASGIScope

from .answers import Answer, Refused, invalid, said, trouble
from .auth import Keys
from .needs import Router, World

MODELS = "/v1/models"
MOST_RECORDS = 1000
OPERATOR_KEY = trouble(401, "invalid_api_key", "This needs the admin key (`server.admin_key`).", "auth")
OPERATOR_ONLY = trouble(
    403, "not_allowed", "Without `server.admin_key` this is served to the router's own machine only.", "auth"
)
NO_MODEL = trouble(404, "model_not_found", f"There is no such model here; {MODELS} lists them.", "not_found")

Headers = Mapping[str, str]
Page = Callable[[ASGIScope, Headers], Awaitable[Answer]]


class Pages:
    """The pages of one configuration; all are read only. They raise Refused."""

    def __init__(self, router: Router, keys: Keys, started: int) -> None:
        self._router = router
        self._world = router.world
        self._keys = keys
        self._started = started
        self._pages: Mapping[str, Page] = {
            "/": self._root,
            "/health/live": self._live,
            "/health/ready": self._ready,
            MODELS: self._models,
            "/admin/status": self._status,
            "/admin/requests": self._records,
        }

    def find(self, path: str) -> Page | None:
        if path.startswith(MODELS + "/"):
            return self._model
        return self._pages.get(path)

    async def _root(self, scope: ASGIScope, headers: Headers) -> Answer:
        return said({"name": "llmrouter", "version": __version__, "models": MODELS})

    async def _live(self, scope: ASGIScope, headers: Headers) -> Answer:
        """The process answers: nothing else is looked at, for a restart would not mend it."""
        return said({"status": "live"})

    async def _ready(self, scope: ASGIScope, headers: Headers) -> Answer:
        fine, reasons = self._router.ready()
        return said({"status": "ready" if fine else "not ready", **reasons}, 200 if fine else 503)

    # ---- models

    async def _models(self, scope: ASGIScope, headers: Headers) -> Answer:
        """Everything that may be asked for, in the shape of the vendor whose client asks."""
        self._keys.check(headers, scope["query_string"])
        names = _in_order(self._world)
        data = [self._shape(name, owner, headers) for name, owner in names]
        if "anthropic-version" not in headers:
            return said({"object": "list", "data": data})
        first, last = (names[0][0], names[-1][0]) if names else (None, None)
        return said({"data": data, "has_more": False, "first_id": first, "last_id": last})

    async def _model(self, scope: ASGIScope, headers: Headers) -> Answer:
        """One model. Its id may contain slashes."""
        self._keys.check(headers, scope["query_string"])
        id = scope["path"].removeprefix(MODELS + "/")
        for name, owner in self._world.models():
            if name == id:
                return said(self._shape(name, owner, headers))
        raise Refused(NO_MODEL)

    def _shape(self, name: str, owner: str, headers: Headers) -> dict[str, Any]:
        if "anthropic-version" in headers:
            when = datetime.fromtimestamp(self._started, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            return {"type": "model", "id": name, "display_name": name, "created_at": when}
        return {"id": name, "object": "model", "created": self._started, "owned_by": owner}

    # ---- the operator's

    async def _status(self, scope: ASGIScope, headers: Headers) -> Answer:
        self.operator(scope, headers)
        return said(self._router.control.status())

    async def _records(self, scope: ASGIScope, headers: Headers) -> Answer:
        """The latest requests, newest first."""
        self.operator(scope, headers)
        limit = parse_qs(scope["query_string"].decode("latin-1")).get("limit", ["50"])[0]
        if not (limit.isascii() and limit.isdigit() and len(limit) < 10):
            raise Refused(invalid(InvalidRequest("`limit` is the number of requests wanted.", param="limit")))
        records = await self._router.control.records(min(int(limit), MOST_RECORDS))
        return said({"requests": list(records)})

    def operator(self, scope: ASGIScope, headers: Headers) -> None:
        """Raises Refused for everybody but the operator."""
        match self._keys.admin(headers, scope["query_string"], scope):
            case 401:
                raise Refused(OPERATOR_KEY)
            case 403:
                raise Refused(OPERATOR_ONLY)


def _in_order(world: World) -> Sequence[tuple[str, str]]:
    """Groups and aliases, then `auto`, then endpoints; inside these the order of the configuration."""

    def rank(one: tuple[str, str]) -> int:
        return 2 if one[0] in world.endpoints else int(one[0].partition("/")[0] == "auto")

    return sorted(world.models(), key=rank)
