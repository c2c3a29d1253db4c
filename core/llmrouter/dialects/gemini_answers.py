"""What an answer of `generateContent` says: bodies and chunks, each a whole GenerateContentResponse → events.

Sources: the API reference of GenerateContentResponse and FinishReason, and recorded answers: STOP where functions
are called, and twice in one stream; calls without an id; a blocked prompt without candidates; pieces of arguments.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import msgspec

from llmrouter.types import (
    Begin,
    Event,
    Fault,
    Finish,
    Frame,
    Result,
    Spent,
    Text,
    Thought,
    ToolArgs,
    ToolStart,
)

from .calls import synthetic
from .common import BOM, decode, loads
from .gemini_common import NAME, read_signature
from .gemini_partial import Pieces
from .gemini_usage import Counts, read_usage
from .meaning import BodyMeaning, explains, unreadable
from .noting import Noted
from .reader import AnswerReader

Reason = Literal["stop", "length", "tool_calls", "content_filter"]

_LENGTH: Mapping[str, Reason] = {"MAX_TOKENS": "length", "CONTINUATION": "length"}
_FILTERED: Mapping[str, Reason] = dict.fromkeys(
    (
        "SAFETY", "RECITATION", "LANGUAGE", "OTHER", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "MODEL_ARMOR",
        "ESCALATION", "IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT", "IMAGE_RECITATION", "IMAGE_OTHER", "NO_IMAGE",
    ),
    "content_filter",
)  # fmt: skip
REASONS: Mapping[str, Reason] = {**_LENGTH, **_FILTERED}
"""Reasons to finish; any other that is no failure is a stop."""

FAILED = frozenset(
    {
        "MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS", "MISSING_THOUGHT_SIGNATURE",
        "MALFORMED_RESPONSE",
    }
)  # fmt: skip
"""Reasons to finish by which the vendor says that its model failed: a failure where nothing was said."""

_MORE = Text("")  # output of which a conversation can say nothing: another candidate, code, a picture


class Call(msgspec.Struct, gc=False):
    id: str | None = None
    name: str | None = None
    args: msgspec.Raw = msgspec.Raw(b"null")
    partialArgs: list[dict[str, Any]] | None = None
    willContinue: bool | None = None


class Part(msgspec.Struct, gc=False):
    text: str | None = None
    thought: bool | None = None
    thoughtSignature: str | None = None
    functionCall: Call | None = None


class Content(msgspec.Struct, gc=False):
    parts: list[Part] | None = None


class Candidate(msgspec.Struct, gc=False):
    content: Content | None = None
    finishReason: str | None = None
    index: int | None = None


class Feedback(msgspec.Struct, gc=False):
    blockReason: str | None = None


class Answer(msgspec.Struct, gc=False):
    """A chunk or a body; what is not named here is not decoded."""

    candidates: list[Candidate] | None = None
    promptFeedback: Feedback | None = None
    usageMetadata: Counts | None = None
    modelVersion: str | None = None
    responseId: str | None = None
    error: Any = None


_answers = msgspec.json.Decoder(Answer)
_bodies = msgspec.json.Decoder(list[msgspec.Raw])


class AnswerMeaning:
    """Follows one answer. Events speak of candidate 0; others count as output and nothing more.

    A chunk that says STOP may be followed by one that calls: so `Finish` comes at the very end, from `done`.
    """

    def __init__(self) -> None:
        self._begun = False
        self._spoke = False  # something else than thoughts
        self._reason: Reason | None = None
        self._calls = Calls()

    def event(self, data: bytes, name: str) -> Sequence[Event]:
        try:
            answer = decode(_answers, data)
        except msgspec.ValidationError:
            return unreadable(data)
        return (Fault(data),) if answer.error else self._events(answer, data)

    def body(self, data: bytes) -> Sequence[Event]:
        """One answer, or a list of the chunks of one: how a stream comes that was not asked to be events."""
        if data.removeprefix(BOM).lstrip()[:1] != b"[":
            events = [*self.event(data, "")]
        else:
            events = [event for one in _bodies.decode(data) for event in self.event(bytes(one), "")]
        if any(type(event) is Fault for event in events):
            return events
        if not self._begun:
            return unreadable(data)
        if self._reason is None and not self._spoke:
            return [Fault(data)]  # neither an answer nor a reason why there is none
        self._reason = self._reason or "stop"
        return [*events, *self.done()]

    def done(self) -> Sequence[Event]:
        """What the end of the answer means. Without a reason to finish it was cut: nothing."""
        reason, self._reason = self._reason, None
        if reason is None:
            return ()
        return (*self._calls.rest(), Finish("tool_calls" if reason == "stop" and self._calls.count else reason))

    def _events(self, answer: Answer, data: bytes) -> list[Event]:
        events: list[Event] = []
        if not self._begun and (answer.candidates or answer.responseId or answer.promptFeedback):
            self._begun, self._calls.answer = True, answer.responseId or ""
            events.append(Begin(self._calls.answer, answer.modelVersion or ""))
        for candidate in answer.candidates or ():
            self._candidate(candidate, data, events)
        feedback = answer.promptFeedback
        if feedback and feedback.blockReason and not answer.candidates:
            self._reason = "content_filter"
        if answer.usageMetadata and (usage := read_usage(answer.usageMetadata)):
            events.append(Spent(usage))
        return events

    def _candidate(self, candidate: Candidate, data: bytes, events: list[Event]) -> None:
        parts = candidate.content.parts or () if candidate.content else ()
        if candidate.index:
            events.extend([_MORE] if parts else ())
            return
        for part in parts:
            self._part(part, events)
        reason = candidate.finishReason
        if reason in FAILED and not self._spoke:
            events.append(Fault(data))
        elif reason:
            self._reason = REASONS.get(reason, "stop")

    def _part(self, part: Part, events: list[Event]) -> None:
        signature = part.thoughtSignature or ""
        if part.functionCall:
            events.extend(self._calls.read(part.functionCall, signature))
        elif part.thought:
            events.append(_thought(part.text or "", signature))
            return
        elif part.text or part.text is None:
            events.append(Text(part.text) if part.text else _MORE)
        self._spoke = self._spoke or part.text != ""
        if signature and not part.functionCall:  # it signs what stands before it
            events.append(_thought("", signature))


class Calls:
    """Calls, which come whole or, on request, in pieces → events."""

    def __init__(self) -> None:
        self.answer = ""
        self.count = 0
        self._open = ""  # id of the call that comes in pieces
        self._pieces = Pieces()

    def read(self, call: Call, signature: str) -> Iterator[Event]:
        if call.name:
            yield from self.rest()
            id = call.id or synthetic(self.answer, self.count)
            self.count += 1
            yield ToolStart(id, call.name, signature)
            if not call.willContinue:
                args = bytes(call.args)
                yield ToolArgs(id, "{}" if args == b"null" else args.decode())
                return
            self._open, self._pieces = id, Pieces()
        for piece in call.partialArgs or ():
            self._pieces.add(piece)
        if not call.willContinue:
            yield from self.rest()

    def rest(self) -> Iterator[Event]:
        """The arguments of the call that came in pieces, if they were not told yet."""
        if self._open:
            yield ToolArgs(self._open, self._pieces.json())
            self._open = ""


class GenerateReader(AnswerReader):
    """Cuts an answer into frames. No end mark tells that a stream is whole: only its end does.

    So the last frame of a stream has no bytes, and means the reason that was given to finish.
    """

    def __init__(self, stream: bool) -> None:
        self._answer = AnswerMeaning()
        super().__init__(NAME, stream, Noted(NAME, self._answer))

    def end(self) -> list[Frame]:
        frames = super().end()
        last = self._meaning.done()
        return [*frames, Frame(self._stream, b"", tuple(last))] if last else frames


class CountMeaning(BodyMeaning):
    """The answer of `countTokens`."""

    def body(self, data: bytes) -> Sequence[Event]:
        said = loads(data)
        count = said.get("totalTokens") if isinstance(said, dict) and not said.get("error") else None
        if isinstance(said, dict) and not said.get("error") and count is None and not explains(said):
            count = 0  # protocol buffers leave zeros out
        if not isinstance(count, int):
            return unreadable(data)
        return (Begin("", ""), Result(count), Finish("stop"))


def _thought(text: str, signature: str) -> Thought:
    found, source = read_signature(signature)
    return Thought(text, found, source)
