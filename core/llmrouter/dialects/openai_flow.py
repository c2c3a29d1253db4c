"""Text in flow: nearly all chunks of a stream say text and nothing more, and are known by their shape alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from llmrouter.types import Event, Text

from .meaning import Meaning
from .openai_answers import AnswerMeaning


class Delta(msgspec.Struct, gc=False):
    """What else a delta may say is null where it says text alone; what is not named here is not looked at."""

    content: str
    refusal: None = None
    reasoning_content: None = None
    reasoning: None = None
    reasoning_details: None = None
    tool_calls: None = None
    function_call: None = None
    audio: None = None
    images: None = None


class Choice(msgspec.Struct, gc=False):
    delta: Delta
    index: Literal[0] = 0
    text: str | None = None  # one vendor says it here, too
    message: None = None
    finish_reason: None = None
    usage: None = None


class Chunk(msgspec.Struct, gc=False):
    choices: tuple[Choice]
    usage: None = None
    error: None = None
    x_groq: None = None


_chunks = msgspec.json.Decoder(Chunk)


class Flow:
    """A `Meaning` of Chat Completions that asks another one, `whole`, for all but the text that follows on text.

    `answer` is what `whole` has of the answer: its text may flow only while choice 0 is under way.
    """

    def __init__(self, answer: AnswerMeaning, whole: Meaning) -> None:
        self._answer, self._whole = answer, whole
        self._flows = False

    def event(self, data: bytes, name: str) -> Sequence[Event]:
        if self._flows and not name:
            try:
                (choice,) = _chunks.decode(data).choices
            except (ValueError, RecursionError):
                pass
            else:
                text = choice.text or choice.delta.content
                return (Text(text),) if text else ()
        events = self._whole.event(data, name)
        self._flows = len(events) == 1 and type(events[0]) is Text and self._answer.goes_on
        return events

    def body(self, data: bytes) -> Sequence[Event]:
        return self._whole.body(data)

    def done(self) -> Sequence[Event]:
        return self._whole.done()
