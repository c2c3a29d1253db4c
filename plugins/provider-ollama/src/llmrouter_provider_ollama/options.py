"""Tools and options of a conversation → fields of Ollama's chat.

| canonical | here |
|---|---|
| temperature, top_p, top_k, seed, stop, presence_penalty, frequency_penalty | the same, in `options` |
| max_output | options.num_predict |
| format | `"json"`, or the schema itself |
| effort, thinking_budget | think: false, low, medium, high |
| tool_choice none, or a tool's name | no tools, or that tool alone; `required` cannot be said |

A client that knows whom it talks to may say Ollama's own words in an OpenAI body: they stand in `extra`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmrouter.dialects import effort_of, raw
from llmrouter.types import Conversation, Fields

SAME = frozenset({"temperature", "top_p", "top_k", "seed", "stop", "presence_penalty", "frequency_penalty"})
RENAMED = {name: name for name in SAME} | {"max_output": "num_predict"}
OWN = frozenset({"keep_alive", "think", "truncate", "shift"})
"""Fields of its own."""
OWN_OPTIONS = frozenset({"num_ctx", "num_keep", "num_predict", "top_k", "min_p", "typical_p", "repeat_penalty"})
"""Options of its own, where somebody writes them beside the others."""
THINK = {"none": False, "minimal": "low", "low": "low", "medium": "medium"}
"""Efforts; more than these is high."""

_ELSEWHERE = frozenset({"effort", "thinking_budget", "thoughts", "format", "extra", "extra_of"})


def write_tools(conversation: Conversation, dropped: list[str]) -> Fields:
    choice, tools = conversation.tool_choice, conversation.tools
    if choice == "required" and tools:
        dropped.append("tool_choice")
    elif choice not in ("auto", "required"):
        tools = tuple([tool for tool in tools if tool.get("name") == choice])  # none has the name "none"
    if not tools:
        return {}
    described = [
        {name: tool[name] for name in ("name", "description", "parameters") if name in tool} for tool in tools
    ]
    dropped.extend(["tools.strict"] if any(tool.get("strict") for tool in tools) else ())
    return {"tools": raw([{"type": "function", "function": one} for one in described])}


def write_options(options: Mapping[str, Any], dropped: list[str]) -> Fields:
    fields: Fields = {}
    said: dict[str, Any] = {}
    for name, value in options.items():
        if name in RENAMED:
            said[RENAMED[name]] = value
        elif name not in _ELSEWHERE:
            dropped.append(name)
    if (format := options.get("format")) is not None:
        fields["format"] = raw(format["schema"] if format["type"] == "json_schema" else "json")
    if effort := effort_of(options):
        fields["think"] = raw(THINK.get(effort, "high"))
    _write_own(options.get("extra", {}), fields, said, dropped)
    return fields | {"options": raw(said)} if said else fields


def _write_own(extra: Mapping[str, Any], fields: Fields, said: dict[str, Any], dropped: list[str]) -> None:
    for name, value in extra.items():
        if name in OWN:
            fields[name] = raw(value)
        elif name in OWN_OPTIONS:
            said[name] = value
        elif name == "options" and isinstance(value, dict):
            said.update(value)
        else:
            dropped.append(name.partition("[")[0])
