"""Items of a Responses request → messages of a conversation.

Consecutive items of the assistant (what it thought, said and called) are one message, and so are consecutive
outputs of tools. Ids of items mean nothing here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from llmrouter.errors import InvalidRequest
from llmrouter.types import CacheMark, File, Image, Message, Part, Refusal, Text, ToolCall, ToolOutput

from .common import dumps
from .openai_messages import ROLES
from .reading import as_object, each, leave
from .responses_thoughts import Seal, read_thought, seal_of
from .responses_tools import Tools, called, read_tools, wrapped

Role = Literal["system", "user", "assistant"]

_ITEM = frozenset({"type", "id", "status", "phase", "caller"})  # of which a conversation needs nothing
_MESSAGE = _ITEM | {"role", "content"}
_CALL = _ITEM | {"call_id", "name", "namespace", "arguments", "input"}
_OUTPUT = _ITEM | {"call_id", "output"}
_REASONING = _ITEM | {"summary", "content", "encrypted_content"}
_PART = frozenset({"type", "prompt_cache_breakpoint"})
_TEXT = _PART | {"text", "annotations", "logprobs"}
_IMAGE = _PART | {"image_url", "detail"}
_FILE = _PART | {"file_data", "file_url", "filename", "detail"}
_SOUND = _PART | {"input_audio"}

PDF = "application/pdf"
"""What a file is taken for whose data does not say."""


def read_items(wire: Any, extra: dict[str, Any]) -> tuple[tuple[Message, ...], Tools]:
    """The messages, and the tools that items bring along. What none can say goes into `extra` by its place.

    Raises InvalidRequest.
    """
    if isinstance(wire, str):
        return (Message("user", (Text(wire),)),), ()
    items = _Items(extra)
    for place, item in each(wire, "input"):
        items.take(as_object(item, place), place)
    return tuple([Message(role, tuple(parts)) for role, parts in items.turns]), items.tools


class _Items:
    """Items read so far."""

    def __init__(self, extra: dict[str, Any]) -> None:
        self.turns: list[tuple[Role, list[Part]]] = []
        self.tools: Tools = ()
        self._extra = extra
        self._open = ""  # the turn that may go on: the assistant's, or outputs of tools
        self._seal: Seal | None = None  # of the next call

    def take(self, item: Mapping[str, Any], place: str) -> None:
        match item.get("type") or "message":
            case "message":
                self._message(item, place)
            case "reasoning":
                self._reasoning(item, place)
            case "function_call" | "custom_tool_call" as kind:
                leave(item, _CALL, place, self._extra)
                self._say("assistant", "assistant", self._call(item, kind, place))
            case "function_call_output" | "custom_tool_call_output":
                leave(item, _OUTPUT, place, self._extra)
                self._say("outputs", "user", _output(item, place, self._extra))
            case "additional_tools":
                self.tools += read_tools(item.get("tools"), self._extra, f"{place}.tools")
            case other:
                self._extra[f"{place}.{other}"] = dict(item)

    def _message(self, item: Mapping[str, Any], place: str) -> None:
        role = item.get("role")
        if not isinstance(role, str) or role not in ROLES:
            raise InvalidRequest(f"{place}.role is {role!r}, which no dialect knows", param=f"{place}.role")
        leave(item, _MESSAGE, place, self._extra)
        parts = _parts(item.get("content"), f"{place}.content", self._extra)
        if ROLES[role] == "assistant":
            self._say("assistant", "assistant", *parts)
        else:
            self.turns.append((ROLES[role], list(parts)))
            self._open = ""

    def _reasoning(self, item: Mapping[str, Any], place: str) -> None:
        leave(item, _REASONING, place, self._extra)
        seal = seal_of(item)
        if seal and seal.kind == "call":
            self._seal = seal
        elif thought := read_thought(item):
            self._say("assistant", "assistant", thought)

    def _call(self, item: Mapping[str, Any], kind: str, place: str) -> ToolCall:
        if kind == "custom_tool_call":
            arguments = dumps(wrapped(str(item.get("input") or ""))).decode()
        else:
            said = item.get("arguments")
            arguments = said if isinstance(said, str) else dumps(said or {}).decode()
        seal, self._seal = self._seal or Seal("", ""), None
        name = called(_text(item.get("name"), f"{place}.name"), item.get("namespace"))
        return ToolCall(
            _text(item.get("call_id"), f"{place}.call_id"), name, arguments or "{}", seal.signature, seal.source
        )

    def _say(self, turn: str, role: Role, *parts: Part) -> None:
        if self._open == turn:
            self.turns[-1][1].extend(parts)
        else:
            self.turns.append((role, list(parts)))
            self._open = turn


def _output(item: Mapping[str, Any], place: str, extra: dict[str, Any]) -> ToolOutput:
    said = item.get("output")
    parts = _parts(said if isinstance(said, str | list) else dumps(said).decode(), f"{place}.output", extra)
    content = tuple([part for part in parts if isinstance(part, Text | Image | File)])
    return ToolOutput(_text(item.get("call_id"), f"{place}.call_id"), content)


def _parts(content: Any, place: str, extra: dict[str, Any]) -> Iterator[Part]:
    if isinstance(content, str):
        yield Text(content)
        return
    for at, part in each(content, place):
        if isinstance(part, str):
            yield Text(part)
            continue
        yield from _part(as_object(part, at), at, extra)
        mark = part.get("prompt_cache_breakpoint")
        if isinstance(mark, dict):
            yield CacheMark(str(mark.get("ttl") or ""))


def _part(part: Mapping[str, Any], at: str, extra: dict[str, Any]) -> Iterator[Part]:
    match part.get("type"):
        case "input_text" | "output_text" | "text" | "summary_text":
            leave(part, _TEXT, at, extra)
            yield Text(_text(part.get("text"), f"{at}.text"))
        case "refusal":
            yield Refusal(_text(part.get("refusal"), f"{at}.refusal"))
        case "input_image" if part.get("image_url"):
            leave(part, _IMAGE, at, extra)
            yield Image(_text(part["image_url"], f"{at}.image_url"), str(part.get("detail") or ""))
        case "input_file" if part.get("file_url") or part.get("file_data"):
            leave(part, _FILE, at, extra)
            yield _file(part, at)
        case "input_audio":
            leave(part, _SOUND, at, extra)
            sound = as_object(part.get("input_audio"), f"{at}.input_audio")
            yield File(f"data:audio/{sound.get('format')};base64,{sound.get('data')}")
        case other:
            extra[f"{at}.{other}"] = dict(part)


def _file(part: Mapping[str, Any], at: str) -> File:
    name = str(part.get("filename") or "")
    if url := part.get("file_url"):
        return File(_text(url, f"{at}.file_url"), name)
    data = _text(part.get("file_data"), f"{at}.file_data")
    return File(data if data.startswith("data:") else f"data:{PDF};base64,{data}", name)


def _text(value: Any, place: str) -> str:
    if not isinstance(value, str):
        raise InvalidRequest(f"{place} must be string", param=place, code="invalid_type")
    return value
