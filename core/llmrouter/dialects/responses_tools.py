"""Tools of Responses ⇄ tools of a conversation.

A namespace is flattened: its tool `read` is called `files__read`. A custom tool takes one text: it becomes a
function with the one argument `input`, and a grammar for that text is said in its description. Tools that a vendor
runs itself (a search, an interpreter) cannot be said: they are left over.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from llmrouter.types import Fields

from .common import get, loads
from .reading import as_object, each

INPUT = "input"
"""The argument of a custom tool."""

_JOINT = "__"
_FUNCTION = frozenset({"type", "name", "description", "parameters", "strict"})
_CUSTOM = frozenset({"type", "name", "description", "format"})
_NAMESPACE = frozenset({"type", "name", "tools"})
_TEXT = {
    "type": "object",
    "properties": {INPUT: {"type": "string"}},
    "required": [INPUT],
    "additionalProperties": False,
}

Tools = tuple[Mapping[str, Any], ...]


class Called(NamedTuple):
    """What a client calls a tool."""

    name: str
    namespace: str | None = None
    custom: bool = False


def called(name: str, namespace: str | None) -> str:
    """The one name of a tool in a namespace."""
    return f"{namespace}{_JOINT}{name}" if namespace else name


# --- read


def read_tools(wire: Any, extra: dict[str, Any], place: str = "tools") -> Tools:
    """What a conversation cannot say goes into `extra` by its place. Raises InvalidRequest."""
    return tuple(_tools(wire, extra, place, None))


def _tools(wire: Any, extra: dict[str, Any], place: str, namespace: str | None) -> Iterator[Mapping[str, Any]]:
    for at, tool in each(wire, place):
        match as_object(tool, at).get("type", "function"):
            case "function":
                _leave(tool, _FUNCTION, at, extra)
                yield _function(tool, namespace)
            case "custom":
                _leave(tool, _CUSTOM, at, extra)
                yield _custom(tool, namespace)
            case "namespace":
                _leave(tool, _NAMESPACE, at, extra)
                yield from _tools(tool.get("tools"), extra, f"{at}.tools", tool.get("name"))
            case other:
                extra[f"{at}.{other}"] = tool


def _function(tool: Mapping[str, Any], namespace: str | None) -> Mapping[str, Any]:
    said = {name: tool[name] for name in ("description", "parameters", "strict") if tool.get(name) is not None}
    return {"name": called(str(tool.get("name")), namespace), **said}


def _custom(tool: Mapping[str, Any], namespace: str | None) -> Mapping[str, Any]:
    description = str(tool.get("description") or "")
    form = tool.get("format") or {}
    if isinstance(form, dict) and form.get("type") == "grammar":
        rule = f"`{INPUT}` has to match this {form.get('syntax')} grammar:\n{form.get('definition')}"
        description = f"{description}\n\n{rule}".strip()
    said = {"description": description} if description else {}
    return {"name": called(str(tool.get("name")), namespace), **said, "parameters": _TEXT}


def names_of(fields: Fields) -> Mapping[str, Called]:
    """What the client calls its tools, where that is more than a function's name."""
    known: dict[str, Called] = {}
    _note(get(fields, "tools"), None, known)
    if b"additional_tools" in bytes(fields.get(INPUT, b"")):
        for item in get(fields, INPUT):
            _note(item.get("tools") if isinstance(item, dict) else None, None, known)
    return known


def _note(tools: Any, namespace: str | None, known: dict[str, Called]) -> None:
    for tool in tools if isinstance(tools, list) else ():
        if not isinstance(tool, dict):
            continue
        name, custom = str(tool.get("name")), tool.get("type") == "custom"
        if tool.get("type") == "namespace":
            _note(tool.get("tools"), name, known)
        elif namespace or custom:
            known[called(name, namespace)] = Called(name, namespace, custom)


def read_choice(wire: Any, tools: Tools, extra: dict[str, Any]) -> tuple[str, Tools]:
    """The choice, and the tools that it leaves to be chosen from."""
    if wire is None or isinstance(wire, str):
        return wire or "auto", tools
    said = as_object(wire, "tool_choice")
    match said.get("type"):
        case "function" | "custom":
            return called(str(said.get("name")), said.get("namespace")), tools
        case "allowed_tools":
            listed = [as_object(one, at) for at, one in each(said.get("tools"), "tool_choice.tools")]
            names = {called(str(one.get("name")), one.get("namespace")) for one in listed}
            return str(said.get("mode", "auto")), tuple([tool for tool in tools if tool.get("name") in names])
    extra["tool_choice[]"] = wire
    return "auto", tools


def _leave(tool: Mapping[str, Any], read: frozenset[str], place: str, extra: dict[str, Any]) -> None:
    for name, value in tool.items():
        if name not in read and value is not None:
            extra[f"{place}.{name}"] = value


# --- written


def write_tools(tools: Tools, dropped: list[str]) -> list[dict[str, Any]]:
    """A function is strict here unless it says otherwise, and in every other dialect only when it does."""
    dropped.extend(["tools.cache_control"] if any("cache" in tool for tool in tools) else ())
    return [
        {
            "type": "function",
            "name": tool.get("name"),
            "description": tool.get("description"),
            "parameters": tool.get("parameters"),
            "strict": bool(tool.get("strict")),
        }
        for tool in tools
    ]


def write_choice(choice: str) -> Any:
    return choice if choice in ("auto", "none", "required") else {"type": "function", "name": choice}


# --- custom calls


def wrapped(text: str) -> dict[str, str]:
    """The arguments of a custom tool's call."""
    return {INPUT: text}


def unwrapped(arguments: str) -> str:
    """The text that a custom tool is called with; what a model wrote instead of that one argument, as it stands."""
    try:
        said = loads(arguments.encode())
    except ValueError:
        return arguments
    text = said.get(INPUT) if isinstance(said, dict) else None
    return text if isinstance(text, str) else arguments


def echoed(tools: Sequence[Any]) -> list[Any]:
    """Tools as an answer repeats them: the SDK's own type wants `parameters` and `strict` of every function."""
    return [
        {"parameters": None, "strict": False, **tool}
        if isinstance(tool, dict) and tool.get("type", "function") == "function"
        else tool
        for tool in tools
    ]
