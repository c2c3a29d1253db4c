"""A client that reads as an SDK does, and forgives nothing: every answer is looked at to its last byte."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Mapping
from typing import Any

from attrs import define, field, frozen

from .saying import Meaning
from .scenario import Shape

CHAT = "/v1/chat/completions"
PIECE = 65536


@frozen
class Answer:
    """What came. `broken` says what cut it short; `hung` that it was given up after `seconds`."""

    status: int = 0
    headers: Mapping[str, str] = field(factory=dict)
    body: bytes = b""
    seconds: float = 0.0
    broken: str = ""
    hung: bool = False


def ask(
    port: int, body: Mapping[str, Any], within: float, path: str = CHAT, headers: Mapping[str, str] | None = None
) -> Answer:
    """Post a request and read the whole answer, for at most `within` seconds."""
    started, status, names, pieces = time.monotonic(), 0, {}, bytearray()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=within)
    broken, hung = "", False
    try:
        said = {"content-type": "application/json", **(headers or {})}
        connection.request("POST", path, json.dumps(body), said)
        response = connection.getresponse()
        status, names = response.status, {name.lower(): value for name, value in response.getheaders()}
        while piece := _read(connection, response, started + within):
            pieces += piece
    except TimeoutError:
        hung = True
    except (http.client.HTTPException, OSError) as error:
        broken = f"{type(error).__name__}: {error}"
    finally:
        connection.close()
    return Answer(status, names, bytes(pieces), time.monotonic() - started, broken, hung)


def _read(connection: http.client.HTTPConnection, response: http.client.HTTPResponse, until: float) -> bytes:
    """The next piece. Raises TimeoutError also for an answer that drips for ever."""
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError
    if connection.sock:
        connection.sock.settimeout(left)
    return response.read1(PIECE)


@define
class Said:
    """What an answer says: its text, its calls, its error; `flaw` is what no client should be sent.

    A stream that is finished and has no end mark is `unmarked`: SDKs read it, and it could have been cut.
    """

    text: str = ""
    finish: str = ""
    error: Any = None
    flaw: str = ""
    unmarked: bool = False
    calls: dict[int, list[str]] = field(factory=dict)  # index → name and arguments

    def means(self, meant: Meaning) -> bool:
        return self.text == meant.text and self._calls() == [*meant.calls]

    def begins(self, meant: Meaning) -> bool:
        """Whether all of it is the beginning of what was meant."""
        names = [name for name, _ in self.calls.values()]
        wanted = [name for name, _ in meant.calls]
        return meant.text.startswith(self.text) and all(name in wanted for name in names if name)

    def _calls(self) -> list[tuple[str, Any]]:
        try:
            return [(name, json.loads(arguments)) for name, arguments in self.calls.values()]
        except ValueError:
            return [("", None)]

    def take(self, choice: Any) -> None:
        """One choice of an event, or of a whole answer."""
        part = choice.get("delta") or choice.get("message") or {}
        self.text += part.get("content") or ""
        for place, call in enumerate(part.get("tool_calls") or ()):
            seen = self.calls.setdefault(call.get("index", place), ["", ""])
            function = call.get("function") or {}
            seen[0] += function.get("name") or ""
            seen[1] += function.get("arguments") or ""
        if finish := choice.get("finish_reason"):
            self.flaw = self.flaw or ("it finishes twice" if self.finish else "")
            self.finish = finish


def read(answer: Answer, shape: Shape) -> Said:
    """The answer as a strict client of OpenAI's chat reads it."""
    said = Said()
    kind = answer.headers.get("content-type", "")
    if answer.broken:
        said.flaw = f"the connection broke: {answer.broken}"
    try:
        if "text/event-stream" in kind:
            _stream(answer.body.decode(), said)
        else:
            _whole(answer, said)
    except (ValueError, AttributeError, LookupError, TypeError) as error:
        said.flaw = said.flaw or f"cannot be read: {type(error).__name__}: {error}"
    if answer.status == 200 and not said.error and ("text/event-stream" in kind) != (shape == "stream"):
        said.flaw = said.flaw or f"{kind!r}, where a {shape} answer was asked for"
    return said


def _whole(answer: Answer, said: Said) -> None:
    body = json.loads(answer.body)
    said.error = body.get("error")
    if answer.status == 200 and not said.error:
        said.take(body["choices"][0])
        said.flaw = said.flaw or ("" if said.finish else "it has no finish")


def _stream(text: str, said: Said) -> None:
    ended = False
    for block in text.replace("\r\n", "\n").split("\n\n"):
        data = "\n".join(line[5:].removeprefix(" ") for line in block.split("\n") if line.startswith("data:"))
        if not data:
            continue
        if ended:
            said.flaw = said.flaw or "it goes on after its end"
        if data == "[DONE]":
            ended = True
            continue
        event = json.loads(data)
        said.error = said.error or event.get("error")
        for choice in event.get("choices") or ():
            said.take(choice)
    if said.error and (ended or said.finish == "stop"):
        said.flaw = said.flaw or "an error, and then a clean end"
    if not said.error and not said.finish:
        said.flaw = said.flaw or "it ends without a finish"
    said.unmarked = not said.error and not ended
