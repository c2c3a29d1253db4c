"""Events of a conversation → items of a Responses output, and the events of a stream by which they come about.

The order is the one that clients rely on: an item is added, its parts are added, told and done, the item is done.
What was said and thought is done when something else begins; calls are done at the end, for fragments of several
may come by turns.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from llmrouter.types import Event, Finish, Refusal, Text, Thought, ToolArgs, ToolStart

from .responses_thoughts import Seal, summary
from .responses_tools import Called, unwrapped

Told = dict[str, Any]
"""An event of a stream, without its number."""

PARTS: Mapping[str, Mapping[str, Any]] = {
    "output_text": {"type": "output_text", "text": "", "annotations": [], "logprobs": []},
    "refusal": {"type": "refusal", "refusal": ""},
}


class Item:
    """An item of the output. `id` and `index` never change."""

    def __init__(self, id: str, index: int) -> None:
        self.id, self.index = id, index
        self.status = "in_progress"

    def said(self) -> dict[str, Any]:
        """The item as it stands now."""
        raise NotImplementedError

    def added(self) -> Told:
        return {"type": "response.output_item.added", "output_index": self.index, "item": self.said()}

    def done(self) -> Told:
        return {"type": "response.output_item.done", "output_index": self.index, "item": self.said()}

    def end(self, status: str) -> list[Told]:
        self.status = status
        return [self.done()]

    def _told(self, kind: str, **more: Any) -> Told:
        return {"type": f"response.{kind}", "item_id": self.id, "output_index": self.index, **more}


class Spoken(Item):
    """A message: text and refusals, each in a part of its own."""

    def __init__(self, id: str, index: int) -> None:
        super().__init__(id, index)
        self.parts: list[tuple[str, list[str]]] = []  # kind and fragments

    def said(self) -> dict[str, Any]:
        content = [_part(kind, "".join(texts)) for kind, texts in self.parts]
        return {
            "id": self.id,
            "type": "message",
            "status": self.status,
            "role": "assistant",
            "content": content,
        }

    def say(self, kind: str, text: str) -> list[Told]:
        told: list[Told] = []
        if not self.parts or self.parts[-1][0] != kind:
            told = self._part_done()
            self.parts.append((kind, []))
            told.append(self._told("content_part.added", content_index=self._at, part=PARTS[kind]))
        self.parts[-1][1].append(text)
        more: Told = {"logprobs": []} if kind == "output_text" else {}
        told.append(self._told(f"{kind}.delta", content_index=self._at, delta=text, **more))
        return told

    def end(self, status: str) -> list[Told]:
        return [*self._part_done(), *super().end(status)]

    @property
    def _at(self) -> int:
        return len(self.parts) - 1

    def _part_done(self) -> list[Told]:
        if not self.parts:
            return []
        kind, texts = self.parts[-1]
        text, at = "".join(texts), self._at
        whole = {"text": text, "logprobs": []} if kind == "output_text" else {"refusal": text}
        return [
            self._told(f"{kind}.done", content_index=at, **whole),
            self._told("content_part.done", content_index=at, part=_part(kind, text)),
        ]


class Reasoned(Item):
    """A thought: its text as a summary, and its seal."""

    def __init__(self, id: str, index: int) -> None:
        super().__init__(id, index)
        self.texts: list[str] = []
        self.seal = ""

    def said(self) -> dict[str, Any]:
        item = {"id": self.id, "type": "reasoning", "summary": summary("".join(self.texts))}
        return item | {"encrypted_content": self.seal} if self.seal else item

    def say(self, text: str) -> list[Told]:
        told: list[Told] = []
        if not self.texts:
            part = {"type": "summary_text", "text": ""}
            told.append(self._told("reasoning_summary_part.added", summary_index=0, part=part))
        self.texts.append(text)
        told.append(self._told("reasoning_summary_text.delta", summary_index=0, delta=text))
        return told

    def end(self, status: str) -> list[Told]:
        told: list[Told] = []
        if self.texts:
            text = "".join(self.texts)
            part = {"type": "summary_text", "text": text}
            told = [
                self._told("reasoning_summary_text.done", summary_index=0, text=text),
                self._told("reasoning_summary_part.done", summary_index=0, part=part),
            ]
        return [*told, *super().end(status)]


class Call(Item):
    """A call of a function, or of a custom tool, whose text is known only when its arguments are whole."""

    def __init__(self, id: str, index: int, call_id: str, called: Called) -> None:
        super().__init__(id, index)
        self.call_id, self.called = call_id, called
        self.fragments: list[str] = []

    def said(self) -> dict[str, Any]:
        done, custom = self.status != "in_progress", self.called.custom
        arguments = "".join(self.fragments)
        whole = unwrapped(arguments) if custom else arguments or "{}"
        return {
            "id": self.id,
            "type": "custom_tool_call" if custom else "function_call",
            "status": self.status,
            "call_id": self.call_id,
            "name": self.called.name,
            "input" if custom else "arguments": whole if done else "",
        } | ({"namespace": self.called.namespace} if self.called.namespace else {})

    def say(self, fragment: str) -> list[Told]:
        self.fragments.append(fragment)
        return [] if self.called.custom else [self._told("function_call_arguments.delta", delta=fragment)]

    def end(self, status: str) -> list[Told]:
        """A call without arguments gets an empty object: clients parse them."""
        self.status = status
        if not self.called.custom:
            bare = [] if self.fragments else self.say("{}")
            arguments = "".join(self.fragments)
            told = [*bare, self._told("function_call_arguments.done", arguments=arguments)]
            return [*told, self.done()]
        text = unwrapped("".join(self.fragments))
        said = [self._told("custom_tool_call_input.delta", delta=text)] if text else []
        return [*said, self._told("custom_tool_call_input.done", input=text), self.done()]


class Output:
    """The output of one answer. `tail` makes its ids; `names` says what the client calls its tools."""

    def __init__(self, tail: str, names: Callable[[], Mapping[str, Called]]) -> None:
        self._tail, self._names = tail, names
        self._known: Mapping[str, Called] | None = None
        self._items: list[Item] = []
        self._open: Item | None = None  # what is being said or thought
        self._calls: dict[str, Call] = {}

    def items(self) -> list[dict[str, Any]]:
        return [item.said() for item in self._items]

    def adopt(self, items: Sequence[Item]) -> None:
        """Go on after what an upstream told by itself: what it has not finished is still open."""
        self._items = list(items)
        open = [item for item in self._items if item.status == "in_progress"]
        self._calls = {item.call_id: item for item in open if isinstance(item, Call)}
        self._open = next((item for item in open if not isinstance(item, Call)), None)

    def add(self, event: Event, source: str) -> Sequence[Told]:
        """The events by which an event is told; `source` is the dialect it comes from."""
        match event:
            case Text(text):
                return self._say("output_text", text) if text else ()
            case ToolArgs(id, json) if id in self._calls:
                return self._calls[id].say(json) if json else ()
            case Thought():
                return self._think(event, source)
            case ToolStart() if event.id not in self._calls:
                return self._call(event, source)
            case Refusal(text):
                return self._say("refusal", text) if text else ()
            case Finish(reason):
                return self._end("incomplete" if reason in ("length", "content_filter") else "completed")
        return ()

    def _say(self, kind: str, text: str) -> list[Told]:
        if isinstance(self._open, Spoken):
            return self._open.say(kind, text)
        told = self._close()
        item = Spoken(self._id("msg"), len(self._items))
        return [*told, *self._begin(item), *item.say(kind, text)]

    def _think(self, thought: Thought, source: str) -> list[Told]:
        told: list[Told] = []
        if thought.redacted:
            return self._sealed(Seal(thought.signature, source, "redacted"))
        if thought.text:
            if not isinstance(self._open, Reasoned):
                told = [*self._close(), *self._begin(Reasoned(self._id("rs"), len(self._items)))]
            assert isinstance(self._open, Reasoned)
            told += self._open.say(thought.text)
        if not thought.signature:
            return told
        seal = Seal(thought.signature, source)
        if not isinstance(self._open, Reasoned):
            return self._sealed(seal)
        self._open.seal = seal.written()
        return [*told, *self._close()]

    def _sealed(self, seal: Seal) -> list[Told]:
        """An item that holds a seal and nothing else."""
        told = self._close()
        item = Reasoned(self._id("rs"), len(self._items))
        item.seal = seal.written()
        return [*told, *self._begin(item), *self._close()]

    def _call(self, start: ToolStart, source: str) -> list[Told]:
        told = self._sealed(Seal(start.signature, source, "call")) if start.signature else self._close()
        called = self._called(start.name)
        id = self._id("ctc" if called.custom else "fc")
        call = self._calls[start.id] = Call(id, len(self._items), start.id, called)
        self._items.append(call)
        return [*told, call.added()]

    def _called(self, name: str) -> Called:
        if self._known is None:
            self._known = self._names()
        return self._known.get(name) or Called(name)

    def _begin(self, item: Item) -> list[Told]:
        self._items.append(item)
        self._open = item
        return [item.added()]

    def _close(self, status: str = "completed") -> list[Told]:
        item, self._open = self._open, None
        return item.end(status) if item else []

    def _end(self, status: str) -> list[Told]:
        told = self._close(status)
        for call in self._calls.values():
            told += call.end(status)
        self._calls = {}
        return told

    def _id(self, prefix: str) -> str:
        return f"{prefix}_{self._tail}{len(self._items):02x}"


def _part(kind: str, text: str) -> dict[str, Any]:
    return {**PARTS[kind], "refusal" if kind == "refusal" else "text": text}
