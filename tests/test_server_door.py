from __future__ import annotations

from typing import Any, cast

from msgspec import Raw

from llmrouter.dialects.openai_chat import Chat
from llmrouter.protocols import Dialect
from llmrouter.server.door import KNOWN_BODY, Known, Route
from llmrouter.types import Facts, Request, Wire

from .serving import CHAT, FakeDialect

ROUTE = Route(Chat(), "chat")
BODY = b'{"temperature": 0}'


def asked(path: str = CHAT, query: bytes = b"", **headers: str) -> dict[str, Any]:
    pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
    return {"path": path, "query_string": query, "headers": pairs}


def request(replayable: bool = True) -> Request:
    facts = Facts(
        id="req_1", at=1.0, client="dev", wire=Wire("openai.chat", False), asked="fast", replayable=replayable
    )
    return Request(facts, {"temperature": Raw(b"0")}, {"x": "y"})


def test_the_same_bytes_mean_the_same_under_another_id_and_time() -> None:
    known, first = Known(), request()
    assert known.find(asked(), BODY, "req_2", 2.0) is None
    known.keep(ROUTE, asked(), BODY, first)
    again = known.find(asked(), bytes(bytearray(BODY)), "req_2", 2.0)
    assert again
    assert (again.facts.id, again.facts.at, again.facts.client) == ("req_2", 2.0, "dev")
    assert again.fields is first.fields
    assert again.headers == {"x": "y"}
    assert first.facts.id == "req_1"


def test_another_byte_anywhere_is_another_request() -> None:
    known = Known()
    known.keep(ROUTE, asked(authorization="Bearer a"), BODY, request())
    others = (
        (asked(authorization="Bearer b"), BODY),
        (asked(authorization="Bearer a", x_llmrouter_cache="refresh"), BODY),
        (asked("/v1/completions", authorization="Bearer a"), BODY),
        (asked(query=b"key=a", authorization="Bearer a"), BODY),
        (asked(authorization="Bearer a"), BODY + b" "),
    )
    assert [known.find(scope, body, "r", 1.0) for scope, body in others] == [None] * len(others)


def test_what_no_recording_answers_is_not_remembered() -> None:
    known, large = Known(), b" " * (KNOWN_BODY + 1)
    known.keep(ROUTE, asked(), BODY, request())
    known.keep(ROUTE, asked(), b"1", request(replayable=False))
    known.keep(ROUTE, asked(), large, request())
    assert known.find(asked(), b"1", "r", 1.0) is known.find(asked(), large, "r", 1.0) is None


def test_what_refers_to_the_memory_is_looked_up_each_time() -> None:
    class Referring(FakeDialect):
        def refers(self, fields: Any) -> list[str]:
            return []

    known, dialect = Known(), cast(Dialect, Referring())
    known.keep(Route(dialect, "chat"), asked(), BODY, request())
    assert known.find(asked(), BODY, "r", 1.0) is None
