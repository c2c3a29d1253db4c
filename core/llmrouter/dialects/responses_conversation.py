"""Items, tools and options of Responses ⇄ `Conversation`.

Options by their canonical names; `null` is the same as absent:

| canonical | here |
|---|---|
| temperature, top_p, user, metadata, service_tier | the same |
| max_output | max_output_tokens |
| format | text.format, in one level in both |
| verbosity | text.verbosity |
| effort | reasoning.effort |
| thoughts | reasoning.summary; written as "auto" |
| parallel_tools | parallel_tool_calls |
| cache_key | prompt_cache_key |
| top_logprobs | the same |
| logprobs | "message.output_text.logprobs" in include |
| extra | what a conversation cannot say, by its place: `store`, `reasoning.context`, `input[2].computer_call` |

Reading and writing back gives the same fields but for: a text → a message; instructions ⇄ leading system messages;
developer → system; namespaces and custom tools → functions; ids and states of items → absent; the choice and
parallelism of no tools → absent; and what stands in `extra` inside items and tools, which is reported as dropped.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from llmrouter.types import Conversation, Encoded, Fields, Message, Text

from .common import get, raw
from .hints import FIELD
from .reading import as_object
from .responses_fitting import fit
from .responses_input import write_input
from .responses_items import read_items
from .responses_tools import read_choice, read_tools, write_choice, write_tools
from .thinking import effort_of

FAMILY = "responses"
LOGPROBS = "message.output_text.logprobs"
LEAST_OUTPUT = 16
"""Tokens: the API refuses a smaller `max_output_tokens`."""

RENAMED: Mapping[str, str] = {
    "max_output_tokens": "max_output",
    "parallel_tool_calls": "parallel_tools",
    "prompt_cache_key": "cache_key",
} | {name: name for name in ("temperature", "top_p", "top_logprobs", "user", "metadata", "service_tier")}
"""Fields that are options as they stand."""

_WRITTEN = {canonical: name for name, canonical in RENAMED.items()}
_UNSAID = frozenset(
    {
        "model", "stream", "stream_options", "store", "previous_response_id", "input", "instructions", "tools",
        "tool_choice", "text", "reasoning", "include", FIELD,
    }
)  # fmt: skip
"""Fields that are read elsewhere, or that are the router's own to keep: what it keeps for the client itself."""
_INCLUDED = frozenset({LOGPROBS, "reasoning.encrypted_content"})
_INDEX = re.compile(r"\[\d*\]")


def read_conversation(fields: Fields) -> Conversation:
    """Raises InvalidRequest for items that cannot be understood."""
    extra: dict[str, Any] = {}
    messages, more = read_items(get(fields, "input"), extra)
    if instructions := get(fields, "instructions"):
        messages = (*_instructions(instructions, extra), *messages)
    tools = read_tools(get(fields, "tools"), extra) + more
    choice, tools = read_choice(get(fields, "tool_choice"), tools, extra)
    options = _read_options(fields, extra)
    return Conversation(messages=messages, tools=tools, tool_choice=choice, options=options)


def write_conversation(conversation: Conversation) -> Encoded:
    """`dropped` names what could not be said, without the numbers of its place; `renamed` tools that had to be."""
    dropped: list[str] = []
    conversation, renamed = fit(conversation)
    instructions, items = write_input(conversation.messages, dropped)
    fields: Fields = {"input": raw(items)}
    if instructions:
        fields["instructions"] = raw(instructions)
    if conversation.tools:
        fields["tools"] = raw(write_tools(conversation.tools, dropped))
        if conversation.tool_choice != "auto":
            fields["tool_choice"] = raw(write_choice(conversation.tool_choice))
    fields |= _write_options(conversation.options, dropped)
    if not conversation.tools:
        fields.pop("parallel_tool_calls", None)
    return Encoded(fields, tuple(dict.fromkeys(dropped)), renamed)


def _instructions(said: Any, extra: dict[str, Any]) -> tuple[Message, ...]:
    """Instructions are a text; an answer may hold them as items, and clients send them back so."""
    return (Message("system", (Text(said),)),) if isinstance(said, str) else read_items(said, extra)[0]


def _read_options(fields: Fields, extra: dict[str, Any]) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for name in fields:
        if name in _UNSAID or (value := get(fields, name)) is None:
            continue
        if name in RENAMED:
            options[RENAMED[name]] = value
        else:
            extra[name] = value
    _read_text(get(fields, "text"), options, extra)
    _read_reasoning(get(fields, "reasoning"), options, extra)
    _read_include(get(fields, "include"), options, extra)
    return options | {"extra": extra, "extra_of": FAMILY} if extra else options


def _read_text(wire: Any, options: dict[str, Any], extra: dict[str, Any]) -> None:
    for name, value in as_object(wire or {}, "text").items():
        if name == "format" and value is not None:
            if as_object(value, "text.format").get("type") != "text":
                options["format"] = {key: one for key, one in value.items() if one is not None}
        elif name == "verbosity" and value is not None:
            options["verbosity"] = value
        elif value is not None:
            extra[f"text.{name}"] = value


def _read_reasoning(wire: Any, options: dict[str, Any], extra: dict[str, Any]) -> None:
    for name, value in as_object(wire or {}, "reasoning").items():
        if value is None:
            continue
        if name == "effort":
            options["effort"] = value
        elif name in ("summary", "generate_summary"):
            options["thoughts"] = value != "none"
        else:
            extra[f"reasoning.{name}"] = value


def _read_include(wire: Any, options: dict[str, Any], extra: dict[str, Any]) -> None:
    listed = wire if isinstance(wire, list) else []
    if LOGPROBS in listed:
        options["logprobs"] = True
    for one in listed:
        if str(one) not in _INCLUDED:
            extra[f"include[].{one}"] = True


def _write_options(options: Mapping[str, Any], dropped: list[str]) -> Fields:
    fields: Fields = {}
    text: dict[str, Any] = {}
    reasoning: dict[str, Any] = {}
    for name, value in options.items():
        match name:
            case "extra" | "extra_of":
                continue
            case "format" | "verbosity":
                text[name] = _named(value) if name == "format" else value
            case "effort" | "thinking_budget":
                reasoning["effort"] = effort_of(options)
            case "thoughts":
                reasoning |= {"summary": "auto"} if value else {}
            case "max_output":
                fields["max_output_tokens"] = raw(max(LEAST_OUTPUT, value))
            case "logprobs":
                fields |= {"include": raw([LOGPROBS])} if value else {}
            case _ if name in _WRITTEN:
                fields[_WRITTEN[name]] = raw(value)
            case _:
                dropped.append(name)
    fields |= _write_extra(options, dropped)
    known = {"text": text, "reasoning": {key: one for key, one in reasoning.items() if one is not None}}
    return fields | {name: raw(value) for name, value in known.items() if value}


def _write_extra(options: Mapping[str, Any], dropped: list[str]) -> Fields:
    fields: Fields = {}
    own = options.get("extra_of") == FAMILY
    for place, value in options.get("extra", {}).items():
        if not own or "[" in place or "." in place:
            dropped.append(_INDEX.sub("", place))
        else:
            fields[place] = raw(value)
    return fields


def _named(format: Mapping[str, Any]) -> Mapping[str, Any]:
    """A schema has a name here; dialects that need none may not have given it one."""
    return format if format.get("name") or format.get("type") != "json_schema" else {**format, "name": "answer"}
