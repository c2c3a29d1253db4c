"""A stream that went through as it came, read again: another upstream has to go on from where it broke off."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from .common import loads
from .responses_output import Call, Item, Reasoned, Spoken
from .responses_tools import Called

PARTS = {"response.output_text.delta": "output_text", "response.refusal.delta": "refusal"}
SUMMARY = "response.reasoning_summary_text.delta"
FRAGMENTS = ("response.function_call_arguments.delta", "response.custom_tool_call_input.delta")


class Passed:
    """What was told so far. `number` is that of the next event."""

    def __init__(self, events: Sequence[bytes]) -> None:
        self._items: dict[int, Item] = {}
        self.number = 0
        self.done: list[Any] = []  # items as their upstream finished them
        for event in _read(events):
            self.number = max(self.number + 1, (event.get("sequence_number") or 0) + 1)
            self._take(event)

    def items(self) -> list[Item]:
        """What was begun, in its order. Of a vendor's own items nothing can be said but that they are there."""
        return [self._items[index] for index in sorted(self._items)]

    def _take(self, event: dict[str, Any]) -> None:
        kind, index, item = event.get("type", ""), event.get("output_index"), event.get("item")
        if kind == "response.output_item.added" and isinstance(item, dict) and isinstance(index, int):
            self._items[index] = _begun(item, index)
        elif kind == "response.output_item.done" and isinstance(item, dict):
            self.done.append(item)
            if index in self._items:
                self._items[index] = Finished(item, index)
        elif isinstance(index, int) and index in self._items:
            _say(self._items[index], kind, event.get("delta"))


class Finished(Item):
    """An item as its upstream finished it."""

    def __init__(self, item: dict[str, Any], index: int) -> None:
        super().__init__(str(item.get("id")), index)
        self.status, self._item = "completed", item

    def said(self) -> dict[str, Any]:
        return self._item


def _begun(item: dict[str, Any], index: int) -> Item:
    id = str(item.get("id"))
    match item.get("type"):
        case "message":
            return Spoken(id, index)
        case "reasoning":
            return Reasoned(id, index)
        case "function_call" | "custom_tool_call" as kind:
            called = Called(str(item.get("name")), item.get("namespace"), kind == "custom_tool_call")
            return Call(id, index, str(item.get("call_id")), called)
    return Finished(item, index)


def _say(item: Item, kind: str, delta: Any) -> None:
    if not isinstance(delta, str):
        return
    match item:
        case Spoken() if kind in PARTS:
            item.say(PARTS[kind], delta)
        case Reasoned() if kind == SUMMARY:
            item.say(delta)
        case Call() if kind in FRAGMENTS:
            item.say(delta)


def _read(events: Sequence[bytes]) -> Iterator[dict[str, Any]]:
    for raw in events:
        _, mark, data = raw.partition(b"data:")
        if mark and isinstance(event := loads(data), dict):
            yield event
