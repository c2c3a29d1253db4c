"""Events → one answer, for clients that wait for the whole of it."""

from __future__ import annotations

from llmrouter.types import Begin, Event, Finish, Refusal, Spent, Text, Thought, ToolArgs, ToolStart, Usage


class Fold:
    """What was said so far. A second `Begin` (of a rescue) changes nothing: an answer has one id."""

    def __init__(self) -> None:
        self.begin: Begin | None = None
        self.texts: list[str] = []
        self.thoughts: list[str] = []
        self.refusals: list[str] = []
        self.calls: dict[str, tuple[str, list[str]]] = {}  # id → name and fragments of the arguments
        self.usage: Usage | None = None
        self.reason = "stop"

    def add(self, event: Event) -> None:
        match event:
            case Text():
                self.texts.append(event.text)
            case Thought():
                self.thoughts.append(event.text)
            case ToolStart():
                self.calls[event.id] = (event.name, [])
            case ToolArgs():
                if event.id in self.calls:
                    self.calls[event.id][1].append(event.json)
            case Refusal():
                self.refusals.append(event.text)
            case Begin():
                self.begin = self.begin or event
            case Spent():
                self.usage = event.usage
            case Finish():
                self.reason = event.reason
