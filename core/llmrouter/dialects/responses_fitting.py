"""Names of tools and ids of calls that the API would refuse, made to fit wherever they stand in a conversation."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from msgspec.structs import replace

from llmrouter.types import Conversation, Message, Part, ToolCall, ToolOutput

from .renaming import fitted

MOST = 64
"""Characters of a name, and of an id."""

_UNFIT_NAME = re.compile(r"[^a-zA-Z0-9_-]")
_UNFIT_ID = re.compile(r"\s")


def fit(conversation: Conversation) -> tuple[Conversation, Mapping[str, str]]:
    """The conversation as it may be said, and what its tools were called before, by their new names."""
    names = fitted(_names(conversation), _UNFIT_NAME, MOST)
    ids = fitted(_ids(conversation), _UNFIT_ID, MOST)
    if not names and not ids:
        return conversation, {}
    tools = tuple([{**tool, "name": _name(tool, names)} for tool in conversation.tools])
    messages = [
        Message(message.role, tuple([_part(part, names, ids) for part in message.parts]))
        for message in conversation.messages
    ]
    choice = names.get(conversation.tool_choice, conversation.tool_choice)
    fitting = replace(conversation, messages=tuple(messages), tools=tools, tool_choice=choice)
    return fitting, {new: name for name, new in names.items()}


def _part(part: Part, names: Mapping[str, str], ids: Mapping[str, str]) -> Part:
    match part:
        case ToolCall(id, name):
            return replace(part, id=ids.get(id, id), name=names.get(name, name))
        case ToolOutput(id):
            return replace(part, id=ids.get(id, id))
    return part


def _name(tool: Mapping[str, Any], names: Mapping[str, str]) -> str:
    name = str(tool.get("name"))
    return names.get(name, name)


def _names(conversation: Conversation) -> Iterator[str]:
    yield from (str(tool.get("name")) for tool in conversation.tools)
    yield from (part.name for message in conversation.messages for part in message.parts if type(part) is ToolCall)


def _ids(conversation: Conversation) -> Iterator[str]:
    for message in conversation.messages:
        for part in message.parts:
            if type(part) is ToolCall or type(part) is ToolOutput:
                yield part.id
