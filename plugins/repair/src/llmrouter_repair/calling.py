"""Calls that a model wrote as text, in the forms that models were trained to write → calls.

All that a text calls, or none of it: one call that cannot be read leaves the whole text as it is. Sources: the chat
templates that vendors publish with their models.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from typing import Any

import msgspec

from llmrouter.types import ToolCall

from .finding import fences, whole

Written = tuple[str, str]
"""The name of a tool, and its arguments as JSON."""

_CALLS, _CALL, _NAMED = "<｜tool▁calls▁begin｜>", "<｜tool▁call▁begin｜>", "<｜tool▁sep｜>"
_CALL_ENDS, _CALLS_END = "<｜tool▁call▁end｜>", "<｜tool▁calls▁end｜>"
_LIST, _TAG, _PYTHON = "[TOOL_CALLS]", "<tool_call>", "<|python_tag|>"
_FUNCTION = (re.compile(r"<function=([\w.:-]+)>"), re.compile(r"</function>"))
_INVOKE = (re.compile(r"<(?:\w+:)?invoke\s+name=[\"']([\w.:-]+)[\"']\s*>"), re.compile(r"</(?:\w+:)?invoke>"))
_PARAMETER = re.compile(r"<(?:\w+:)?parameter(?:=([^<>\s]+)\s*|\s+name=[\"']([^\"'<>]+)[\"'][^<>]*)>")
_PARAMETER_END = re.compile(r"</(?:\w+:)?parameter>")
_HEAD = re.compile(r"\s*+([\w.:-]++)\s*+(?:\[ARGS\])?+\s*+(?=\{)")
_LANGUAGES = ("json", "tool_code", "tool_call", "tool_calls")
_KEYS = frozenset({"name", "arguments", "parameters", "id", "type"})

_object = msgspec.json.Decoder(dict[str, msgspec.Raw])
_list = msgspec.json.Decoder(list[msgspec.Raw])
_text = msgspec.json.Decoder(str)


class Unread(ValueError):
    """A text that was meant as a call and cannot be read as one."""


def calls(text: str, tools: frozenset[str]) -> Sequence[ToolCall] | None:
    try:
        written = _written(text)
    except (ValueError, RecursionError):
        return None
    if not written or not all(name in tools for name, _ in written):
        return None
    return [ToolCall(_id(text, number), name, said) for number, (name, said) in enumerate(written)]


def _id(text: str, number: int) -> str:
    return "call_" + blake2b(f"{number}/{text}".encode(), digest_size=12).hexdigest()


def _written(text: str) -> list[Written]:
    """The calls, by the first of the forms of which the text has a mark. Raises Unread."""
    if _CALLS in text:
        return list(_deepseek(text.partition(_CALLS)[2].partition(_CALLS_END)[0]))
    if _TAG in text:
        bodies = [one.partition("</tool_call>")[0] for one in text.split(_TAG)[1:]]
        return [call for body in bodies for call in (list(_in_tags(body)) or _objects(body))]
    if found := list(_in_tags(text)):
        return found
    if _LIST in text:
        return [call for body in text.split(_LIST)[1:] for call in _headed(body)]
    if _PYTHON in text:
        return list(_objects(text.partition(_PYTHON)[2]))
    blocks = [body for language, body in fences(text) if language in _LANGUAGES]
    if blocks or text.lstrip().startswith(("{", "[")):
        return [call for body in blocks or [text] for call in _objects(body)]
    return []


# --- forms


def _deepseek(text: str) -> Iterator[Written]:
    """`name<sep>{…}`, or in older models `function<sep>name` and a fenced object."""
    for body in text.split(_CALL)[1:]:
        name, _, rest = body.partition(_CALL_ENDS)[0].partition(_NAMED)
        if name.strip() == "function":
            name, _, rest = rest.partition("\n")
            rest = next((body for _, body in fences(rest)), rest)
        yield name.strip(), _arguments(rest)


def _in_tags(text: str) -> Iterator[Written]:
    """Calls that have their names in the tag."""
    opening, closing = _FUNCTION if _FUNCTION[0].search(text) else _INVOKE
    tag = opening.search(text)
    while tag:
        end = closing.search(text, tag.end())
        body = text[tag.end() : end.start() if end else len(text)]
        yield tag[1], _parameters(body) if _PARAMETER.search(body) else _arguments(body)
        tag = opening.search(text, end.end()) if end else None


def _headed(text: str) -> Iterator[Written]:
    """A list of objects, or a name and its arguments."""
    if head := _HEAD.match(text):
        yield head[1], _arguments(text[head.end() :])
    else:
        yield from _objects(text)


def _objects(text: str) -> Iterator[Written]:
    """One object or a list of them, each with a name and arguments, in a `function` or not."""
    value = whole(text)
    if value is None:
        raise Unread
    for one in _list.decode(value) if value.startswith("[") else [value]:
        said = _object.decode(one)
        said = _object.decode(said["function"]) if "function" in said else said
        if "name" not in said or not {*said} <= _KEYS:
            raise Unread
        yield _text.decode(said["name"]), _told(said.get("arguments") or said.get("parameters"))


def _told(raw: msgspec.Raw | None) -> str:
    """Arguments as an object, or as a text that is one."""
    text = "" if raw is None else bytes(raw).decode()
    return _arguments(_text.decode(text) if text.startswith('"') else text)


def _arguments(text: str) -> str:
    value = whole(text) if text.strip() else "{}"
    if value is None or not value.startswith("{"):
        raise Unread
    return value


# --- arguments as elements


def _parameters(text: str) -> str:
    said: dict[str, Any] = {}
    tag = _PARAMETER.search(text)
    while tag:
        end = _PARAMETER_END.search(text, tag.end())
        if end is None:
            raise Unread  # a value that was cut
        said[tag[1] or tag[2]] = _typed(text[tag.end() : end.start()])
        tag = _PARAMETER.search(text, end.end())
    return msgspec.json.encode(said).decode()


def _typed(text: str) -> str | msgspec.Raw:
    """Nothing says which of them are texts: what is JSON and no string is taken as that."""
    text = text.removeprefix("\n").removesuffix("\n")
    try:
        value = msgspec.json.decode(text.encode())
    except ValueError:
        return text
    return text if isinstance(value, str) else msgspec.Raw(text.strip().encode())
