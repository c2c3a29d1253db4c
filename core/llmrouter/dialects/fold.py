"""Events → one answer, for clients that wait for the whole of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

from msgspec.structs import replace

from llmrouter.types import (
    Begin,
    Event,
    Finish,
    Frame,
    Part,
    Refusal,
    Request,
    Result,
    Spent,
    Text,
    Thought,
    ToolArgs,
    ToolCall,
    ToolStart,
    Trouble,
    Usage,
)

from .common import dumps
from .errors import envelope
from .noting import gathered

Said = Text | Refusal | Thought


class Fold:
    """What was said so far, in its order. A second `Begin` (of a rescue) changes nothing: an answer has one id."""

    def __init__(self) -> None:
        self.begin: Begin | None = None
        self.usage: Usage | None = None
        self.result: Any = None  # of an operation that is no conversation
        self.reason = "stop"
        self.calls: dict[str, tuple[ToolCall, list[str]]] = {}  # id → the call and fragments of its arguments
        self._runs: list[list[Said] | ToolCall] = []  # what was said of one kind without a break, and calls

    def add(self, event: Event, source: str = "") -> None:
        """`source` is the dialect that signatures belong to, where an event does not say."""
        match event:
            case Thought() if event.signature and not event.source:
                self._say(replace(event, source=source))
            case Text() | Refusal() | Thought():
                self._say(event)
            case ToolStart(id, name, signature) if id not in self.calls:
                call = ToolCall(id, name, "", signature, source if signature else "")
                self.calls[id] = (call, [])
                self._runs.append(call)
            case ToolArgs() if event.id in self.calls:
                self.calls[event.id][1].append(event.json)
            case Begin():
                self.begin = self.begin or event
            case Result():
                self.result = event.value
            case Spent():
                self.usage = event.usage
            case Finish():
                self.reason = event.reason

    def parts(self) -> list[Part]:
        """The answer as parts of a message: fragments joined, arguments never empty."""
        return [part for run in self._runs for part in self._joined(run)]

    @property
    def text(self) -> str:
        return self._all(Text)

    @property
    def thought(self) -> str:
        return self._all(Thought)

    @property
    def refusal(self) -> str:
        return self._all(Refusal)

    def arguments(self, id: str) -> str:
        """The arguments of a call: JSON, and an empty object where none came."""
        return "".join(self.calls[id][1]) or "{}"

    def _say(self, event: Said) -> None:
        last = self._runs[-1] if self._runs else None
        if isinstance(last, list) and type(last[0]) is type(event):
            last.append(event)
        else:
            self._runs.append([event])

    def _joined(self, run: list[Said] | ToolCall) -> Iterator[Part]:
        if isinstance(run, ToolCall):
            yield replace(run, arguments=self.arguments(run.id))
            return
        thoughts = [one for one in run if isinstance(one, Thought)]
        if thoughts:
            yield from gathered(thoughts)
        elif text := "".join([one.text for one in run]):
            yield Refusal(text) if isinstance(run[0], Refusal) else Text(text)

    def _all(self, kind: type[Said]) -> str:
        runs = [run for run in self._runs if isinstance(run, list) and type(run[0]) is kind]
        return "".join([one.text for run in runs for one in run])


class BodyWriter:
    """Base of writers of one body, which `end` returns: the upstream's own where it came as one, else `body`.

    Errors are told in the envelope of the OpenAI family, unless a dialect has one of its own.
    """

    envelope = staticmethod(envelope)

    def __init__(self, request: Request) -> None:
        self._request, self._facts = request, request.facts
        self._raw = b""
        self._said: list[tuple[Sequence[Event], str]] = []  # with the dialect that it was said in

    def write(self, frame: Frame, verbatim: bool) -> bytes:
        self._raw = frame.raw if verbatim and not frame.wire.stream else b""
        self._said.append((frame.events, frame.wire.dialect))
        return b""

    def fail(self, trouble: Trouble) -> bytes:
        return dumps(self.envelope(trouble))

    def end(self) -> bytes:
        return self._raw or dumps(self.body())

    def body(self) -> Any:
        """What was folded, as this dialect says it."""
        raise NotImplementedError

    @cached_property
    def _fold(self) -> Fold:
        """All that was said. Nobody asks for it where the upstream's own body goes on."""
        fold = Fold()
        for events, source in self._said:
            for event in events:
                fold.add(event, source)
        return fold

    @property
    def _id(self) -> str:
        """The upstream's id of the answer; "" where it gave none."""
        return self._fold.begin.id if self._fold.begin else ""

    @property
    def _model(self) -> str:
        return (self._fold.begin and self._fold.begin.model) or self._facts.asked
