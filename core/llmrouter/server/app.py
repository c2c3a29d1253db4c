"""The ASGI app: dictionaries of paths, no framework, no middleware.

A path that a dialect serves goes the short way of `_call`; all others are looked up afterwards.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Coroutine
from typing import Any

from msgspec.structs import replace

from llmrouter.errors import InvalidRequest
from llmrouter.protocols import ASGIReceive, ASGIScope, ASGISend, Places, Refers
from llmrouter.types import Request, Trouble

from .answers import Answer, Refused, invalid, refusal, said, send_answer, trouble
from .auth import Keys
from .callers import Callers, decoded
from .channel import Channel, OverASGI
from .connection import Connection, Gone, Running
from .door import Known, Route, body_of, expanded, fields_of, request_of
from .needs import Router, World
from .pages import Pages
from .stored import WRONG_METHOD, StoredResponses

CLOSE = {"connection": "close"}
READING = ("GET", "HEAD")
NO = ("false", "0", "no")
BUSY = trouble(503, "router_overloaded", "Too many requests are under way here.", "overloaded", 1.0)
STOPPING = trouble(503, "router_stopping", "This router is shutting down.", "overloaded", 1.0)
BROKEN = trouble(500, "internal_error", "This router failed; its log says more.", "internal")
TOO_SLOW = trouble(408, "request_timeout", "The body did not arrive in time.")
NOT_FOUND = trouble(404, "not_found", "Nothing is served at this path.")
RETIRED_PATHS = ("/v1/assistants", "/v1/threads")
RETIRED = trouble(
    410,
    "endpoint_retired",
    "Assistants and threads have ended: use POST /v1/responses with `instructions` and `previous_response_id`.",
)
NO_SOCKETS = trouble(426, "upgrade_required", "WebSockets are not served; send the same request with POST.")

log = logging.getLogger("llmrouter.server")


def create_app(router: Router) -> App:
    """The ASGI app of a router. Whoever makes it opens and closes the router."""
    return App(router)


class App:
    """One router over HTTP."""

    def __init__(self, router: Router) -> None:
        self.running = Running()
        self._router = router
        self._random = random.Random()
        self._started = int(router.clock())
        self._enter(router.world)

    def _enter(self, world: World) -> None:
        """Make what follows from a configuration; again when it was swapped."""
        self._world = world
        self._settings = self._router.settings.server
        self._keys = Keys(self._settings)
        self._callers = Callers(self._keys)
        self._known = Known()
        self._pages = Pages(self._router, self._keys, self._started)
        self._stored = StoredResponses(self._router, self._keys)
        self._routes = {
            path: Route(dialect, op) for dialect in world.dialects.values() for path, op in dialect.paths.items()
        }
        self._refers = {one.name: one for one in world.dialects.values() if isinstance(one, Refers)}
        self._places = [(one, one.place) for one in world.dialects.values() if isinstance(one, Places)]

    async def __call__(self, scope: ASGIScope, receive: ASGIReceive, send: ASGISend) -> None:
        if scope["type"] == "http":
            await self.serve(scope, OverASGI(receive, send))
        else:
            await _other_protocol(scope, receive, send)

    def serve(self, scope: ASGIScope, channel: Channel) -> Coroutine[Any, Any, None]:
        """Answer a request over HTTP, by whatever channel it came."""
        if self._router.world is not self._world:
            self._enter(self._router.world)
        route = self._routes.get(scope["path"]) or self._placed(scope)
        if route is not None and scope["method"] == "POST":
            return self._call(route, scope, channel)
        return self._elsewhere(scope, channel)

    # ---- a request for a model

    async def _call(self, route: Route, scope: ASGIScope, channel: Channel) -> None:
        connection = Connection(channel, self._id())
        self.running.add(connection)
        try:
            world = self._world
            request = connection.request = await self._request(route, scope, connection)
            if request.facts.hints.get("dry-run", "false") in NO:
                await self._router.engine.serve(request, world, connection)
                if wait := connection.finish():
                    await wait
            else:
                await connection.answer(said(await self._router.engine.preview(request, world)))
        except Refused as refused:
            await self._refuse(route, scope, connection, refused.trouble, refused.close)
        except InvalidRequest as error:
            await self._refuse(route, scope, connection, invalid(error))
        except Gone:
            return
        except asyncio.CancelledError:
            if not connection.end:
                raise
            channel.task.uncancel()
            await self._cut(route, scope, connection)
        except Exception:
            log.exception("%s failed", connection.id)
            await self._refuse(route, scope, connection, BROKEN)
        finally:
            self.running.discard(connection)

    async def _request(self, route: Route, scope: ASGIScope, connection: Connection) -> Request:
        """What is meant, and by whom. Raises Refused, InvalidRequest and Gone."""
        client, headers = self._callers.find(scope)
        if len(self.running.all) > self._settings.max_concurrency:
            raise Refused(BUSY, close=True)
        body = connection.channel.at_hand(self._settings.max_body)
        if body is None:
            body = await body_of(connection, scope, headers, self._settings)
        now = self._router.clock()
        request = self._known.find(scope, body, connection.id, now)
        if request is None:
            fields = fields_of(route, body)
            if refers := self._refers.get(route.dialect.name):
                fields = await expanded(refers, fields, client, self._router.engine.memory)
            request = request_of(route, fields, headers, client, connection.id, now)
            self._known.keep(route, scope, body, request)
        return request

    async def _cut(self, route: Route, scope: ASGIScope, connection: Connection) -> None:
        """The last words to a client whose request was ended here."""
        if connection.end == "slow":
            await self._refuse(route, scope, connection, TOO_SLOW, close=True)
        elif connection.end == "stopping":
            await self._refuse(route, scope, connection, STOPPING)

    async def _refuse(
        self, route: Route, scope: ASGIScope, connection: Connection, what: Trouble, close: bool = False
    ) -> None:
        """Say what is wrong: as a status, or in band where the answer has begun to flow."""
        what = replace(what, request_id=connection.id)
        if connection.started:
            assert connection.request is not None
            if wait := connection.write(route.dialect.writer(connection.request).fail(what)):
                await wait
            if wait := connection.finish():
                await wait
            return
        if connection.request is None:
            log.info("refused %s %s: %d %s", connection.id, scope["path"], what.status, what.code)
        await connection.answer(refusal(what, route.dialect, CLOSE if close else None))

    # ---- everything else

    async def _elsewhere(self, scope: ASGIScope, channel: Channel) -> None:
        headers = decoded(scope["headers"])
        try:
            for prefix, page in self._router.pages:
                if scope["path"] == prefix or scope["path"].startswith(f"{prefix}/"):
                    self._pages.operator(scope, headers)
                    below = {**scope, "root_path": scope.get("root_path", "") + prefix}
                    await page(below, channel.receive, channel.send)
                    return
            answer = await self._answer(scope, headers)
        except Refused as refused:
            answer = refusal(refused.trouble, self._pages.dialect(scope, headers))
        if wait := send_answer(channel, answer, self._id()):
            await wait

    async def _answer(self, scope: ASGIScope, headers: dict[str, str]) -> Answer:
        if headers.get("upgrade", "").lower() == "websocket":
            return refusal(NO_SOCKETS, None, {"upgrade": "HTTP/1.1", **CLOSE})
        if route := self._routes.get(scope["path"]) or self._placed(scope):
            return refusal(WRONG_METHOD, route.dialect, {"allow": "POST"})
        if scope["path"].startswith(RETIRED_PATHS):
            return refusal(RETIRED)
        if self._stored.serves(scope["path"]):
            return await self._stored.answer(scope, headers)
        page = self._pages.find(scope["path"])
        if page is None:
            return refusal(NOT_FOUND)
        if scope["method"] not in READING:
            return refusal(WRONG_METHOD, None, {"allow": ", ".join(READING)})
        return await page(scope, headers)

    def _placed(self, scope: ASGIScope) -> Route | None:
        """What serves a path that names a model or the like."""
        for dialect, place in self._places:
            if found := place(scope["path"], scope["query_string"].decode("latin-1")):
                return Route(dialect, *found)
        return None

    def _id(self) -> str:
        return f"req_{self._random.getrandbits(64).to_bytes(8).hex()}"


async def _other_protocol(scope: ASGIScope, receive: ASGIReceive, send: ASGISend) -> None:
    if scope["type"] == "websocket":
        await _refuse_socket(scope, receive, send)
        return
    ended = False
    while not ended:  # lifespan: the router is opened and closed by who made it
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        ended = message["type"] == "lifespan.shutdown"


async def _refuse_socket(scope: ASGIScope, receive: ASGIReceive, send: ASGISend) -> None:
    await receive()
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close", "code": 1008})
        return
    answer = refusal(NO_SOCKETS)
    headers = [(b"content-type", b"application/json")]
    await send({"type": "websocket.http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": answer.body})
