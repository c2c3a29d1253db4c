"""Answers that a model spoiled, as they were meant: what the plugin `repair` can do with one that was held back."""

from __future__ import annotations

from collections.abc import Sequence

from llmrouter.protocols import Repairs
from llmrouter.types import Event, Finish, Frame, Text, ToolArgs, ToolCall, ToolStart, Wire

from .inspection import Inspection

Mended = tuple[Sequence[Frame], str]
"""The answer as it was meant, and what was mended."""


def mended(repairs: Repairs, inspection: Inspection, frames: Sequence[Frame], flawed: bool) -> Mended | None:
    """The whole answer in `frames`, mended and looked at again; None where there is nothing to mend, or no way.

    What was cut is nobody's to mend: only an answer that its model ended is looked at.
    """
    if inspection.calls:
        return (
            _checked(frames, _arguments(repairs, frames, inspection), inspection, "arguments") if flawed else None
        )
    expected, text = inspection.expected, inspection.text
    if expected.tools and (calls := repairs.calls(text, [*expected.tools])):
        return _checked(frames, _replaced(frames, calls), inspection, "calls")
    if flawed and expected.json and (json := repairs.json(text)):
        return _checked(frames, _replaced(frames, [Text(json)]), inspection, "json")
    return None


def _arguments(repairs: Repairs, frames: Sequence[Frame], inspection: Inspection) -> list[Event]:
    fixed = [
        ToolCall(call.id, call.name, repairs.json(call.arguments) or call.arguments, call.signature)
        for call in inspection.calls
    ]
    texts = [event for frame in frames for event in frame.events if type(event) is Text]
    return _replaced(frames, [*texts, *fixed])


def _replaced(frames: Sequence[Frame], said: Sequence[Text | ToolCall]) -> list[Event]:
    """The events of an answer, with something else said in it."""
    new: list[Event] = []
    for one in said:
        if isinstance(one, Text):
            new.append(one)
        else:
            new += [ToolStart(one.id, one.name, one.signature), ToolArgs(one.id, one.arguments)]
    found: list[Event] = []
    for event in [event for frame in frames for event in frame.events]:
        if type(event) is Finish:
            called = any(isinstance(one, ToolCall) for one in said)
            found += [*new, Finish("tool_calls" if called else event.reason)]
        elif type(event) not in (Text, ToolStart, ToolArgs):
            found.append(event)
    return found


def _checked(frames: Sequence[Frame], events: Sequence[Event], inspection: Inspection, what: str) -> Mended | None:
    again = Inspection(lambda: inspection.expected)
    wrong = [again.end(event.reason) if type(event) is Finish else again.see(event) for event in events]
    if any(wrong):
        return None
    return [Frame(Wire(frames[0].wire.dialect, False), b"", tuple(events))], what
