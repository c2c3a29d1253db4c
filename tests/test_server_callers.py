from __future__ import annotations

from typing import Any

import pytest

from llmrouter.server.answers import Refused
from llmrouter.server.auth import Keys, key_hash
from llmrouter.server.callers import KNOWN, KNOWN_HEAD, Callers
from llmrouter.settings import ClientKeySettings, ServerSettings

KEYS = Keys(ServerSettings(keys=tuple(ClientKeySettings(name=one, hash=key_hash(one)) for one in ("ann", "bob"))))


def asked(key: str = "ann", length: str = "", query: bytes = b"", **more: str) -> dict[str, Any]:
    headers = {"authorization": f"Bearer {key}", **more} | ({"content-length": length} if length else {})
    pairs = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    return {"query_string": query, "headers": pairs}


def test_the_same_headers_are_the_same_caller_whatever_the_length() -> None:
    callers = Callers(KEYS)
    first = callers.find(asked(length="12", note="é"))
    assert first == ("ann", {"authorization": "Bearer ann", "note": "é"})
    assert callers.find(asked(length="34", note="é")) is callers.find(asked(note="é")) is first


def test_another_key_or_query_is_another_caller() -> None:
    callers = Callers(KEYS)
    assert [callers.find(asked(key)).client for key in ("ann", "bob", "ann")] == ["ann", "bob", "ann"]
    assert callers.find(asked("eve", query=b"key=bob")).client == "bob"
    for scope in (asked("eve"), asked("eve", query=b"key=eve"), asked("eve")):
        with pytest.raises(Refused):
            callers.find(scope)


def test_of_a_header_that_came_twice_the_last_counts() -> None:
    scope = asked("eve")
    scope["headers"] += asked("ann", "9")["headers"]
    assert Callers(KEYS).find(scope).client == "ann"


def test_neither_many_callers_nor_large_ones_are_kept() -> None:
    callers = Callers(KEYS)
    large, first = asked(note="x" * KNOWN_HEAD), asked()
    assert callers.find(large) is not callers.find(large)
    kept = callers.find(first)
    for n in range(KNOWN):
        callers.find(asked(note=str(n)))
    assert callers.find(first) is not kept
