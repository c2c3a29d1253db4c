"""Bodies of `generateContent` ⇄ `Conversation`.

`gemini_reading` reads what was said and `gemini_writing` writes it; options stand in `gemini_options`.

Reading and writing back gives the same fields but for: keys and base64 in one spelling; roles merged where they
follow each other; calls without an id → with one; `parameters` and `responseSchema` → JSON Schema; the response of
a function → `output`; modes AUTO and VALIDATED → absent; ANY with several names → those functions; a signature
beside a text → behind it; whatever stands in `extra` inside contents and tools, which is reported as dropped.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmrouter.errors import InvalidRequest
from llmrouter.types import Conversation, Encoded, Fields

from .common import get, raw
from .gemini_common import camel, camelled, each
from .gemini_options import read_options, write_options
from .gemini_reading import read_contents, read_system
from .gemini_schemas import json_schema
from .gemini_writing import LONGEST, UNFIT, Writing, names_of
from .hints import FIELD
from .reading import leave, text_of
from .renaming import fitted

PSEUDO = frozenset({"model", "stream", "alt", FIELD})
"""What a path or a client says to us beside the body of the API."""

_DECLARATION = frozenset({"name", "description", "parameters", "parametersJsonSchema"})
_TOLD = frozenset({"name", "description", "parameters"})
_CALLING = "functionCallingConfig"


def read_conversation(fields: Fields) -> Conversation:
    """Raises InvalidRequest for contents that cannot be understood."""
    said = {camel(name): value for name in fields if (value := get(fields, name)) is not None}
    if inner := said.pop("generateContentRequest", None):  # of a count
        said |= camelled(inner, "generateContentRequest")
    extra: dict[str, Any] = {}
    messages = (
        *read_system(said.pop("systemInstruction", None), extra),
        *read_contents(said.pop("contents", None), extra),
    )
    tools = _tools(said.pop("tools", None), extra)
    choice, tools = _choice(said.pop("toolConfig", None), tools, extra)
    options = read_options({name: value for name, value in said.items() if name not in PSEUDO}, extra)
    return Conversation(messages=messages, tools=tools, tool_choice=choice, options=options)


def write_conversation(conversation: Conversation) -> Encoded:
    """`dropped` names what could not be said, without the numbers of its place."""
    dropped: list[str] = []
    declared = [str(tool.get("name")) for tool in conversation.tools]
    renamed = fitted([*declared, *names_of(conversation.messages)], UNFIT, LONGEST)
    contents, system = Writing(renamed, dropped).write(conversation.messages)
    fields: Fields = {"contents": raw(contents)}
    if system:
        fields["systemInstruction"] = raw(system)
    if conversation.tools:
        declarations = [_written_tool(tool, renamed, dropped) for tool in conversation.tools]
        fields["tools"] = raw([{"functionDeclarations": declarations}])
        if conversation.tool_choice != "auto":
            fields["toolConfig"] = raw({_CALLING: _written_choice(conversation.tool_choice, renamed)})
    options = dict(conversation.options)
    if not conversation.tools:
        options.pop("parallel_tools", None)
    fields |= write_options(options, dropped)
    return Encoded(fields, tuple(dict.fromkeys(dropped)), {new: old for old, new in renamed.items()})


def _tools(wire: Any, extra: dict[str, Any]) -> tuple[Mapping[str, Any], ...]:
    """The functions. What Google runs itself (a search, code) goes into `extra`."""
    tools: list[Mapping[str, Any]] = []
    for place, tool in each(wire, "tools"):
        for name, value in camelled(tool, place).items():
            if name == "functionDeclarations":
                tools += [_tool(one, at, extra) for at, one in each(value, f"{place}.{name}")]
            else:
                extra[f"{place}.{name}"] = value
    return tuple(tools)


def _tool(wire: Any, place: str, extra: dict[str, Any]) -> Mapping[str, Any]:
    said = camelled(wire, place)
    tool = {"name": text_of(said.get("name"), f"{place}.name")}
    if "description" in said:
        tool["description"] = said["description"]
    if "parametersJsonSchema" in said:
        tool["parameters"] = said["parametersJsonSchema"]
    elif "parameters" in said:
        tool["parameters"] = json_schema(said["parameters"])
    leave(said, _DECLARATION, place, extra)
    return tool


def _choice(
    wire: Any, tools: tuple[Mapping[str, Any], ...], extra: dict[str, Any]
) -> tuple[str, tuple[Mapping[str, Any], ...]]:
    """The choice, and the functions that it leaves to be chosen from."""
    said = camelled(wire or {}, "toolConfig")
    calling = camelled(said.pop(_CALLING, {}), f"toolConfig.{_CALLING}")
    mode, allowed = str(calling.pop("mode", "AUTO")).upper(), calling.pop("allowedFunctionNames", None)
    leave(said, (), "toolConfig", extra)
    leave(calling, (), f"toolConfig.{_CALLING}", extra)
    if allowed and not isinstance(allowed, list):
        raise InvalidRequest("toolConfig: allowedFunctionNames must be array", param="toolConfig")
    if mode == "ANY" and allowed and len(allowed) == 1:
        return str(allowed[0]), tools
    if allowed:
        tools = tuple([tool for tool in tools if tool["name"] in allowed])
    return {"ANY": "required", "NONE": "none"}.get(mode, "auto"), tools


def _written_tool(tool: Mapping[str, Any], renamed: Mapping[str, str], dropped: list[str]) -> dict[str, Any]:
    name = str(tool.get("name"))
    written: dict[str, Any] = {"name": renamed.get(name, name)}
    if tool.get("description"):
        written["description"] = tool["description"]
    if tool.get("parameters"):
        written["parametersJsonSchema"] = tool["parameters"]
    dropped.extend([f"tools.{key}" for key, value in tool.items() if key not in _TOLD and value])
    return written


def _written_choice(choice: str, renamed: Mapping[str, str]) -> dict[str, Any]:
    if choice in ("none", "required"):
        return {"mode": "NONE" if choice == "none" else "ANY"}
    return {"mode": "ANY", "allowedFunctionNames": [renamed.get(choice, choice)]}
