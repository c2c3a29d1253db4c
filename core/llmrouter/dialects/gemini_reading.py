"""`contents` and `systemInstruction` → messages of a conversation.

Older models give calls no ids: such a call gets one by its place, and a response without an id answers the first
open call of its name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Any, Literal

from llmrouter.errors import InvalidRequest
from llmrouter.types import File, Image, Message, Part, Text, Thought, ToolCall, ToolOutput

from .calls import synthetic
from .common import dumps
from .gemini_common import camelled, each, read_signature
from .gemini_media import read_file, read_inline
from .noting import gathered
from .reading import leave, text_of

ROLES: Mapping[str, Literal["user", "assistant"]] = {
    "user": "user",
    "function": "user",
    "tool": "user",
    "model": "assistant",
}
_SIDE = frozenset({"thought", "thoughtSignature"})
_CALL = frozenset({"id", "name", "args"})
_RESPONSE = frozenset({"id", "name", "response", "parts"})


def read_system(wire: Any, extra: dict[str, Any]) -> tuple[Message, ...]:
    """A text, or a content whose role says nothing."""
    if isinstance(wire, str):
        return (Message("system", (Text(wire),)),)
    if wire is None:
        return ()
    parts = Reading(extra).parts(camelled(wire, "systemInstruction").get("parts"), "systemInstruction")
    return (Message("system", tuple(parts)),) if parts else ()


def read_contents(wire: Any, extra: dict[str, Any]) -> tuple[Message, ...]:
    """What a message cannot say goes into `extra` by its place. Raises InvalidRequest."""
    contents = Reading(extra)
    return tuple([contents.message(one, place) for place, one in each(wire, "contents")])


class Reading:
    """Reads contents in their order, and knows which calls are open."""

    def __init__(self, extra: dict[str, Any]) -> None:
        self._extra = extra
        self._open: list[tuple[str, str]] = []  # id and name

    def message(self, wire: Any, place: str) -> Message:
        content = camelled(wire, place)
        role = content.get("role") or "user"
        if not isinstance(role, str) or role not in ROLES:
            raise InvalidRequest(f"{place}.role is {role!r}; it is user or model", param=f"{place}.role")
        return Message(ROLES[role], tuple(self.parts(content.get("parts"), place)))

    def parts(self, wire: Any, place: str) -> list[Part]:
        parts = [part for at, one in each(wire, f"{place}.parts") for part in self._part(camelled(one, at), at)]
        whole: list[Part] = []
        for is_thought, run in groupby(parts, lambda part: isinstance(part, Thought)):
            some = [*run]
            whole += gathered([one for one in some if isinstance(one, Thought)]) if is_thought else some
        return whole

    def _part(self, part: dict[str, Any], place: str) -> Iterator[Part]:
        signature, source = read_signature(text_of(part.get("thoughtSignature") or "", f"{place}.thoughtSignature"))
        if part.get("thought") is True and "functionCall" not in part:
            yield Thought(text_of(part.pop("text", ""), f"{place}.text"), signature, source)
        elif "functionCall" in part:
            yield self._call(part.pop("functionCall"), f"{place}.functionCall", signature, source)
        else:
            yield from self._said(part, place)
            if signature:  # it signs what stands before it
                yield Thought("", signature, source)
        leave(part, _SIDE, place, self._extra)

    def _said(self, part: dict[str, Any], place: str) -> Iterator[Part]:
        if (text := part.pop("text", None)) is not None and text_of(text, f"{place}.text"):
            yield Text(text)
        if (blob := part.pop("inlineData", None)) is not None:
            yield read_inline(blob, f"{place}.inlineData")
        if (file := part.pop("fileData", None)) is not None:
            yield read_file(file, f"{place}.fileData")
        if (response := part.pop("functionResponse", None)) is not None:
            yield self._output(response, f"{place}.functionResponse")

    def _call(self, wire: Any, place: str, signature: str, source: str) -> ToolCall:
        said = camelled(wire, place)
        leave(said, _CALL, place, self._extra)
        name = text_of(said.get("name"), f"{place}.name")
        id = str(said.get("id") or synthetic(place))
        self._open.append((id, name))
        return ToolCall(id, name, dumps(said.get("args") or {}).decode(), signature, source)

    def _output(self, wire: Any, place: str) -> ToolOutput:
        said = camelled(wire, place)
        leave(said, _RESPONSE, place, self._extra)
        id = self._answered(str(said.get("id") or ""), str(said.get("name") or "")) or synthetic(place)
        media = [part for part in self.parts(said.get("parts"), place) if isinstance(part, Text | Image | File)]
        texts, error = _read_response(said.get("response"))
        return ToolOutput(id, (*texts, *media), error)

    def _answered(self, id: str, name: str) -> str:
        """The id of the call that a response answers, which is open no more."""
        for one in self._open:
            if one[0] == id or (not id and one[1] == name):
                self._open.remove(one)
                return one[0]
        return id


def _read_response(wire: Any) -> tuple[list[Text], bool]:
    """The texts of an output, and whether it is an error. `result` is no name of the API's, but of its SDK."""
    if isinstance(wire, Mapping) and len(wire) == 1:
        ((name, value),) = wire.items()
        texts = value if isinstance(value, list) else [value]
        if name in ("output", "result", "error") and all(isinstance(one, str) for one in texts):
            return [Text(one) for one in texts], name == "error"
    return ([] if wire is None else [Text(dumps(wire).decode())]), False
