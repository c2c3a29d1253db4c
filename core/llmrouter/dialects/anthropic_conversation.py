"""Messages, tools and options of Messages ⇄ `Conversation`.

Reading and writing back gives the same fields but for: a text alone → a list of blocks; a search result and the
context of a document → text; what the system says between the turns → the user's text; `output_format` →
`output_config.format`; whatever stands in `extra` inside messages and tools, which is reported as dropped.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from llmrouter.types import Conversation, Encoded, Fields, Op, ToolCall, ToolOutput

from .anthropic_options import FAMILY, keep_peace, read_options, write_options
from .anthropic_reading import cache_mark, read_messages
from .anthropic_schemas import bound, input_schema
from .anthropic_writing import Block, Writing, written_mark
from .common import get, raw
from .reading import as_object, each, leave
from .renaming import fitted

JSON_ONLY = "Answer with one JSON object and nothing else: no prose, no code fence."
MOST_MARKS = 4
MOST_ID = 64  # characters of the id of a call
MOST_NAME = 128  # characters of the name of a tool

COUNTED = frozenset({"messages", "system", "tools", "tool_choice", "thinking", "output_config"})
"""Fields that count as input."""

_UNFIT = re.compile(r"[^a-zA-Z0-9_-]")
_CHOICES: Mapping[str, str] = {"auto": "auto", "any": "required", "none": "none"}


# --- read


def read_conversation(fields: Fields) -> Conversation:
    """Raises InvalidRequest for messages that cannot be understood."""
    extra: dict[str, Any] = {}
    messages = read_messages(get(fields, "system"), get(fields, "messages"), extra)
    tools = tuple(_tools(get(fields, "tools"), extra))
    choice = get(fields, "tool_choice") or {}
    options = read_options(fields, extra)
    if as_object(choice, "tool_choice").get("disable_parallel_tool_use"):
        options["parallel_tools"] = False
    name = choice.get("type", "auto")
    chosen = str(choice.get("name")) if name == "tool" else _CHOICES.get(name, "auto")
    if extra:
        options |= {"extra": extra, "extra_of": FAMILY}
    return Conversation(messages=messages, tools=tools, tool_choice=chosen, options=options)


def _tools(wire: Any, extra: dict[str, Any]) -> Iterable[Mapping[str, Any]]:
    """Those that a client runs itself and describes; all others are known to their vendor alone."""
    for place, tool in each(wire, "tools"):
        if as_object(tool, place).get("type", "custom") != "custom":
            extra[place] = tool
            continue
        leave(tool, ("type", "name", "description", "input_schema", "strict", "cache_control"), place, extra)
        found = {"name": tool.get("name"), "parameters": tool.get("input_schema") or {}}
        found |= {name: tool[name] for name in ("description", "strict") if tool.get(name) is not None}
        mark = cache_mark(tool)
        yield found | {"cache": mark.ttl} if mark else found


# --- written


def write_conversation(conversation: Conversation, op: Op) -> Encoded:
    """`dropped` names what could not be said, without the numbers of its place."""
    dropped: list[str] = []
    names = fitted(_named(conversation), _UNFIT, MOST_NAME)
    ids = fitted(_ids(conversation), _UNFIT, MOST_ID)
    writing = Writing(names, ids, dropped)
    system = writing.system(conversation.messages)
    messages = writing.turns(conversation.messages)
    tools = [_tool(tool, names) for tool in conversation.tools]
    body = write_options(conversation.options, dropped)
    if (format := conversation.options.get("format")) and format.get("type") == "json_object":
        system.append({"type": "text", "text": JSON_ONLY})
        dropped.append("format")
    _mark_fewer([*tools, *system, *[block for turn in messages for block in turn["content"]]], dropped)
    body |= {"messages": messages} | ({"system": system} if system else {})
    body |= _with_tools(tools, messages, conversation, names)
    keep_peace(body, dropped)
    fields = {name: raw(value) for name, value in body.items() if op == "chat" or name in COUNTED}
    renamed = {fit: name for name, fit in names.items()}
    return Encoded(fields, tuple(dict.fromkeys(dropped)), renamed)


def _named(conversation: Conversation) -> Iterable[str]:
    yield from [str(tool.get("name")) for tool in conversation.tools]
    yield from [call.name for call in _parts(conversation, ToolCall)]


def _ids(conversation: Conversation) -> Iterable[str]:
    yield from [call.id for call in _parts(conversation, ToolCall)]
    yield from [output.id for output in _parts(conversation, ToolOutput)]


def _parts(conversation: Conversation, kind: type[Any]) -> Sequence[Any]:
    return [part for message in conversation.messages for part in message.parts if type(part) is kind]


def _tool(tool: Mapping[str, Any], names: Mapping[str, str]) -> Block:
    name, schema = str(tool.get("name")), input_schema(tool.get("parameters"))
    written: Block = {"name": names.get(name, name), "input_schema": schema}
    if description := tool.get("description"):
        written["description"] = description
    if tool.get("strict"):
        written |= {"strict": True, "input_schema": bound(schema)}
    if (ttl := tool.get("cache")) is not None:
        written["cache_control"] = written_mark(ttl)
    return written


def _with_tools(
    tools: list[Block], messages: Sequence[Block], conversation: Conversation, names: Mapping[str, str]
) -> Block:
    """The tools and the choice between them. A history of calls needs tools, even if none may be called now."""
    if not tools:
        blocks = [block for turn in messages for block in turn["content"]]
        called = dict.fromkeys([block["name"] for block in blocks if block["type"] == "tool_use"])
        stubs = [{"name": name, "input_schema": input_schema(None)} for name in called]
        return {"tools": stubs, "tool_choice": {"type": "none"}} if stubs else {}
    choice = conversation.tool_choice
    alone = conversation.options.get("parallel_tools") is False
    match choice:
        case "none":
            return {"tools": tools, "tool_choice": {"type": "none"}}
        case "auto" | "required":
            said: Block = {"type": "any" if choice == "required" else "auto"}
        case name:
            said = {"type": "tool", "name": names.get(name, name)}
    if alone:
        said["disable_parallel_tool_use"] = True
    return {"tools": tools} | ({"tool_choice": said} if alone or choice != "auto" else {})


def _mark_fewer(blocks: Iterable[Block], dropped: list[str]) -> None:
    """The last marks reach farthest."""
    marked = [block for block in blocks if "cache_control" in block]
    for block in marked[:-MOST_MARKS]:
        del block["cache_control"]
        dropped.append("cache_control")
