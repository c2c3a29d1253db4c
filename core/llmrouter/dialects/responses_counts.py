"""The number of tokens of a request: `POST /v1/responses/input_tokens`."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from llmrouter.types import Begin, Event, Finish, Frame, Result, Trouble

from .common import decode, dumps
from .errors import envelope
from .responses_answers import unreadable


class Counted(msgspec.Struct, gc=False):
    input_tokens: int


_counts = msgspec.json.Decoder(Counted)


class CountMeaning:
    """What a count says. It never streams."""

    def event(self, data: bytes, name: str) -> Sequence[Event]:
        return unreadable(data)

    def body(self, data: bytes) -> Sequence[Event]:
        try:
            counted = decode(_counts, data)
        except msgspec.ValidationError:
            return unreadable(data)
        return (Begin("", ""), Result(counted.input_tokens), Finish("stop"))

    def done(self) -> Sequence[Event]:
        return ()


class CountWriter:
    """One body, returned by `end`."""

    def __init__(self) -> None:
        self._raw = b""

    def write(self, frame: Frame, verbatim: bool) -> bytes:
        for event in frame.events:
            if isinstance(event, Result):
                body = dumps({"object": "response.input_tokens", "input_tokens": event.value})
                self._raw = frame.raw if verbatim else body
        return b""

    def fail(self, trouble: Trouble) -> bytes:
        return dumps(envelope(trouble))

    def end(self) -> bytes:
        return self._raw
