"""A small HTTP client that sees the bytes of an answer, and how it broke off."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from attrs import define, field

T = TypeVar("T")

TIMEOUT = 20.0
"""Seconds after which a test takes the other side for hung."""


@define(eq=False)
class Answer:
    """What a client got. `broken` is the error that cut it short, if one did."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    broken: Exception | None = None

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def data(self) -> list[str]:
        """The `data:` of every event, end mark included."""
        blocks = self.body.decode().replace("\r\n", "\n").split("\n\n")
        lines = [line for block in blocks for line in block.split("\n")]
        return [line[5:].strip() for line in lines if line.startswith("data:")]

    @property
    def events(self) -> list[Any]:
        return [json.loads(data) for data in self.data if data != "[DONE]"]

    @property
    def text(self) -> str:
        """The text of a chat answer of either shape."""
        if "text/event-stream" in self.headers.get("content-type", ""):
            choices = [choice for event in self.events for choice in event.get("choices") or ()]
            return "".join(choice["delta"].get("content") or "" for choice in choices)
        return str(self.json["choices"][0]["message"]["content"])

    @property
    def error(self) -> Any:
        """The error object: of a refusal, or of an event inside a stream."""
        if "text/event-stream" in self.headers.get("content-type", ""):
            return next((event["error"] for event in self.events if "error" in event), None)
        return self.json.get("error")


@define(eq=False)
class Caller:
    """Calls one server from as many threads as it likes; one kept connection per thread."""

    base_url: str
    timeout: float = TIMEOUT
    _local: threading.local = field(factory=threading.local)
    _all: list[http.client.HTTPConnection] = field(factory=list)

    def post(self, path: str, body: Any, headers: Mapping[str, str] | None = None) -> Answer:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.call("POST", path, data, {"content-type": "application/json", **(headers or {})})

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> Answer:
        return self.call("GET", path, None, headers or {})

    def call(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> Answer:
        connection = self._connection()
        try:
            connection.request(method, path, body, dict(headers))
            response = connection.getresponse()
        except Exception:
            self.close()
            raise
        names = {name.lower(): value for name, value in response.getheaders()}
        pieces: list[bytes] = []
        try:
            while piece := response.read1(65536):
                pieces.append(piece)
        except (http.client.HTTPException, OSError) as error:
            self.close()
            return Answer(response.status, names, b"".join(pieces), error)
        response.close()  # read1 leaves a body of known length open at its end, and the connection with it
        return Answer(response.status, names, b"".join(pieces))

    def chat(self, model: str, stream: bool = False, **more: Any) -> Answer:
        body = {"model": model, "messages": [{"role": "user", "content": "Say it."}], "stream": stream, **more}
        return self.post("/v1/chat/completions", body)

    def close(self) -> None:
        """Close this thread's connection; the next call opens it anew."""
        self._connection().close()

    def close_all(self) -> None:
        """Close the connections of all threads, none of which is calling."""
        for connection in self._all:
            connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        if not hasattr(self._local, "connection"):
            host = self.base_url.removeprefix("http://")
            self._local.connection = http.client.HTTPConnection(host, timeout=self.timeout)
            self._all.append(self._local.connection)
        connection: http.client.HTTPConnection = self._local.connection
        return connection


def at_once(count: int, work: Callable[[int], T], threads: int | None = None) -> list[T]:
    """Do something `count` times from many threads; the results in order."""
    with ThreadPoolExecutor(threads or count) as pool:
        return list(pool.map(work, range(count)))
