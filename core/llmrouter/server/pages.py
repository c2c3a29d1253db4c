"""What is served beside the dialects: health, the operator's view, and the list of models."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from urllib.parse import parse_qs

from llmrouter import __version__
from llmrouter.errors import InvalidRequest
from llmrouter.protocols import ASGIScope, Dialect

from .answers import Answer, Refused, invalid, said, trouble
from .auth import Keys
from .models import MODELS, Models
from .needs import Router

MOST_RECORDS = 1000
OPERATOR_KEY = trouble(401, "invalid_api_key", "This needs the admin key (`server.admin_key`).", "auth")
OPERATOR_ONLY = trouble(
    403, "not_allowed", "Without `server.admin_key` this is served to the router's own machine only.", "auth"
)

Headers = Mapping[str, str]
Page = Callable[[ASGIScope, Headers], Awaitable[Answer]]


class Pages:
    """The pages of one configuration; all are read only. They raise Refused."""

    def __init__(self, router: Router, keys: Keys, started: int) -> None:
        self._router = router
        self._keys = keys
        self._models = Models(router.world, keys, started)
        self._pages: Mapping[str, Page] = {
            "/": self._root,
            "/health/live": self._live,
            "/health/ready": self._ready,
            "/admin/status": self._status,
            "/admin/requests": self._records,
            "/admin/models": self._known_models,
        }

    def find(self, path: str) -> Page | None:
        return self._models.page if self._models.serves(path) else self._pages.get(path)

    def dialect(self, scope: ASGIScope, headers: Headers) -> Dialect | None:
        """In which dialect a refusal is said; None where the path belongs to nobody's."""
        return self._models.dialect(scope, headers)

    async def _root(self, scope: ASGIScope, headers: Headers) -> Answer:
        return said({"name": "llmrouter", "version": __version__, "models": MODELS})

    async def _live(self, scope: ASGIScope, headers: Headers) -> Answer:
        """The process answers: nothing else is looked at, for a restart would not mend it."""
        return said({"status": "live"})

    async def _ready(self, scope: ASGIScope, headers: Headers) -> Answer:
        fine, reasons = self._router.ready()
        return said({"status": "ready" if fine else "not ready", **reasons}, 200 if fine else 503)

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

    async def _known_models(self, scope: ASGIScope, headers: Headers) -> Answer:
        """Every model, also those that are offered no more, and the age of the providers' lists."""
        self.operator(scope, headers)
        return said(self._router.control.models())

    def operator(self, scope: ASGIScope, headers: Headers) -> None:
        """Raises Refused for everybody but the operator."""
        match self._keys.admin(headers, scope["query_string"], scope):
            case 401:
                raise Refused(OPERATOR_KEY)
            case 403:
                raise Refused(OPERATOR_ONLY)
