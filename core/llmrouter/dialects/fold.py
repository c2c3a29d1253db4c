"""Events → one answer, for clients that wait for the whole of it."""

from __future__ import annotations

from collections.abc import Iterator

from llmrouter.types import (
    Begin,
    Event,
    Finish,
    Part,
    Refusal,
    Spent,
    Text,
    Thought,
    ToolArgs,
    ToolCall,
    ToolStart,
    Usage,
)

from .noting import gathered

Said = Text | Refusal | Thought


class Fold:
    """What was said so far, in its order. A second `Begin` (of a rescue) changes nothing: an answer has one id."""

    def __init__(self) -> None:
        self.begin: Begin | None = None
        self.usage: Usage | None = None
        self.reason = "stop"
        self.calls: dict[str, tuple[ToolStart, list[str]]] = {}  # id → its start and fragments of its arguments
        self._runs: list[list[Said] | ToolStart] = []  # what was said of one kind without a break, and calls

    def add(self, event: Event) -> None:
        match event:
            case Text() | Refusal() | Thought():
                self._say(event)
            case ToolStart() if event.id not in self.calls:
                self.calls[event.id] = (event, [])
                self._runs.append(event)
            case ToolArgs() if event.id in self.calls:
                self.calls[event.id][1].append(event.json)
            case Begin():
                self.begin = self.begin or event
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

    def _joined(self, run: list[Said] | ToolStart) -> Iterator[Part]:
        if isinstance(run, ToolStart):
            yield ToolCall(run.id, run.name, self.arguments(run.id), run.signature)
            return
        thoughts = [one for one in run if isinstance(one, Thought)]
        if thoughts:
            yield from gathered(thoughts)
        elif text := "".join([one.text for one in run]):
            yield Refusal(text) if isinstance(run[0], Refusal) else Text(text)

    def _all(self, kind: type[Said]) -> str:
        runs = [run for run in self._runs if isinstance(run, list) and type(run[0]) is kind]
        return "".join([one.text for run in runs for one in run])
