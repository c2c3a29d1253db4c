"""The number of tokens of a request: `POST /v1/responses/input_tokens`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from llmrouter.types import Begin, Event, Finish, Frame, Result

from .common import decode
from .fold import BodyWriter
from .meaning import BodyMeaning, unreadable


class Counted(msgspec.Struct, gc=False):
    input_tokens: int


_counts = msgspec.json.Decoder(Counted)


class CountMeaning(BodyMeaning):
    """What a count says. It never streams."""

    def body(self, data: bytes) -> Sequence[Event]:
        try:
            counted = decode(_counts, data)
        except msgspec.ValidationError:
            return unreadable(data)
        return (Begin("", ""), Result(counted.input_tokens), Finish("stop"))


class CountWriter(BodyWriter):
    """A count, in the words of this path."""

    _tokens = 0

    def write(self, frame: Frame, verbatim: bool) -> bytes:
        for event in frame.events:
            if isinstance(event, Result):
                self._tokens = event.value
        return super().write(frame, verbatim)

    def body(self) -> Any:
        return {"object": "response.input_tokens", "input_tokens": self._tokens}
