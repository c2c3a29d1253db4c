"""From bytes to a `Request`: how much, and what is meant. A refusal here costs no upstream call."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Mapping
from typing import NamedTuple

from msgspec.structs import replace

from llmrouter.dialects.common import parse
from llmrouter.errors import InvalidRequest
from llmrouter.protocols import ASGIScope, Dialect, Refers
from llmrouter.recent import Recent
from llmrouter.settings import ServerSettings
from llmrouter.types import Fields, Op, Request

from .answers import Refused, trouble
from .callers import LENGTH, Said, said_of
from .connection import DISCARD, TOO_LARGE, Connection
from .needs import Memory

KNOWN = 1024  # requests
KNOWN_BODY = 32 * 1024  # bytes
BAD_LENGTH = trouble(400, "invalid_content_length", "The header content-length is not a number.")

log = logging.getLogger("llmrouter.server")

Asked = tuple[str, Said, bytes]
"""A request byte for byte: path, query and headers, body."""


class Route(NamedTuple):
    """What serves a path. `said` is what the path itself says of the request."""

    dialect: Dialect
    op: Op
    said: Fields | None = None


def body_of(
    connection: Connection, scope: ASGIScope, headers: Mapping[str, str], settings: ServerSettings
) -> Awaitable[bytes]:
    """The body, whole. Raises Refused, and Gone when the client left before its end."""
    declared = dict(scope["headers"]).get(LENGTH, b"0")
    if not declared.isdigit():
        raise Refused(BAD_LENGTH, close=True)
    most = settings.max_body if "expect" in headers else settings.max_body * DISCARD
    if int(declared) > most:
        raise Refused(TOO_LARGE, close=True)
    return connection.read(settings.max_body)


class Known:
    """What requests meant that came before: the same bytes mean the same, and nothing is opened or looked at again.

    Only of those that a recording may answer, because the others hardly ever come twice.
    """

    def __init__(self) -> None:
        self._found: Recent[Asked, Request] = Recent(KNOWN)

    def find(self, scope: ASGIScope, body: bytes, id: str, at: float) -> Request | None:
        found = self._found.get(_asked(scope, body)) if self._found and len(body) <= KNOWN_BODY else None
        return found and Request(replace(found.facts, id=id, at=at), found.fields, found.headers)

    def keep(self, route: Route, scope: ASGIScope, body: bytes, request: Request) -> None:
        if request.facts.replayable and len(body) <= KNOWN_BODY and not hasattr(route.dialect, "refers"):
            self._found.put(_asked(scope, body), request)


def _asked(scope: ASGIScope, body: bytes) -> Asked:
    return scope["path"], said_of(scope), body


def fields_of(route: Route, body: bytes) -> Fields:
    """The body, opened. Raises InvalidRequest."""
    fields = parse(body)
    return fields | route.said if route.said else fields


async def expanded(dialect: Refers, fields: Fields, client: str, memory: Memory) -> Fields:
    """The fields with what they refer to put in. Raises InvalidRequest."""
    names = dialect.refers(fields)
    return dialect.expand(fields, await memory.find(client, names)) if names else fields


def request_of(
    route: Route, fields: Fields, headers: Mapping[str, str], client: str, id: str, at: float
) -> Request:
    """What is meant. Raises InvalidRequest for a body that no upstream should see."""
    dialect, op, _ = route
    try:
        facts = dialect.facts(op, fields, headers)
    except InvalidRequest:
        raise
    except Exception as error:  # nothing but the body decides here, so it is the body's fault
        log.error("%s stumbled over a body: %s", dialect.name, type(error).__name__)
        raise InvalidRequest("The body is not what this path expects", code="invalid_body") from None
    passes = getattr(dialect, "passes", ())
    kept = {name: headers[name] for name in passes if name in headers} if passes else {}
    return Request(replace(facts, id=id, at=at, client=client), fields, kept)
