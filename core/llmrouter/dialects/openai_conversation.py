"""Messages, tools and options of Chat Completions ⇄ `Conversation`.

Options by their canonical names; `null` is the same as absent:

| canonical | here |
|---|---|
| temperature, top_p, top_k, seed, presence_penalty, frequency_penalty, n, logprobs, top_logprobs, logit_bias, user, metadata, verbosity, service_tier | the same |
| max_output | max_completion_tokens; read from max_tokens too |
| stop | stop, always a list |
| format | response_format: `{"type": "json_object"}`, or `{"type": "json_schema", name, schema, strict, description}` in one level |
| effort | reasoning_effort; read from OpenRouter's `reasoning` and others' `thinking` too |
| thinking_budget, thoughts | not written; read from those two |
| parallel_tools | parallel_tool_calls |
| cache_key | prompt_cache_key |
| extra | what a conversation cannot say, by its place: `store`, `messages[2].name`, `tools[0]` |

Reading and writing back gives the same fields but for: developer → system; max_tokens → max_completion_tokens;
content of one text part → a string; the format of a sound and the name of a nameless file →
those that are usual; `tool_choice: auto` → absent; allowed_tools → those tools and its mode;
`response_format: text`, empty lists, and the choice and parallelism of no tools → absent; thoughts under other names → reasoning_content; cache marks, signatures of other
dialects, and whatever stands in `extra` inside messages and tools, which are reported as dropped.
"""  # noqa: E501 - a table

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmrouter.types import Conversation, Encoded, Fields

from .common import get, raw
from .hints import FIELD
from .openai_media import MARKS, cache_marks
from .openai_messages import read_messages, write_messages
from .reading import as_object, each, leave, own_extra
from .thinking import DYNAMIC, effort_of

SAME = (
    "temperature", "top_p", "top_k", "seed", "presence_penalty", "frequency_penalty", "n", "logprobs",
    "top_logprobs", "logit_bias", "user", "metadata", "verbosity", "service_tier",
)  # fmt: skip
RENAMED: Mapping[str, str] = {
    "max_tokens": "max_output",
    "max_completion_tokens": "max_output",
    "reasoning_effort": "effort",
    "parallel_tool_calls": "parallel_tools",
    "prompt_cache_key": "cache_key",
} | {name: name for name in SAME}
"""Fields that are options as they stand."""

_THINKING = frozenset({"reasoning", "thinking"})
_WRITTEN = {canonical: name for name, canonical in RENAMED.items()} | {"stop": "stop"}
_ELSEWHERE = frozenset({"messages", "tools", "tool_choice"})
_SPECIAL = frozenset({"model", "stream", "stream_options", "stop", "response_format", FIELD})
FAMILY = "openai"


def read_conversation(fields: Fields) -> Conversation:
    """Raises InvalidRequest for messages that cannot be understood."""
    extra: dict[str, Any] = {}
    messages = read_messages(get(fields, "messages"), extra)
    tools = _tools(get(fields, "tools"), extra)
    choice, tools = _tool_choice(get(fields, "tool_choice"), tools, extra)
    options = read_options(fields, extra, _ELSEWHERE)
    return Conversation(messages=messages, tools=tools, tool_choice=choice, options=options)


def write_conversation(conversation: Conversation) -> Encoded:
    """`dropped` names what could not be said, without the numbers of its place."""
    dropped: list[str] = []
    fields: Fields = {"messages": raw(write_messages(conversation.messages, dropped))}
    if conversation.tools:
        fields["tools"] = raw(
            [{"type": "function", "function": _unmarked(tool, dropped)} for tool in conversation.tools]
        )
        if conversation.tool_choice != "auto":
            fields["tool_choice"] = raw(_written_choice(conversation.tool_choice))
    fields |= write_options(conversation.options, dropped)
    if not conversation.tools:
        fields.pop("parallel_tool_calls", None)  # an error without tools
    return Encoded(fields, tuple(dict.fromkeys(dropped)))


def read_options(fields: Fields, extra: dict[str, Any], elsewhere: frozenset[str]) -> dict[str, Any]:
    """Options by canonical names; fields that are none go into `extra`, those read `elsewhere` nowhere."""
    options: dict[str, Any] = {}
    for name in fields:
        if name in elsewhere or name in _SPECIAL or (value := get(fields, name)) is None:
            continue
        if name == "max_tokens" and get(fields, "max_completion_tokens") is not None:
            continue
        if name in RENAMED:
            options[RENAMED[name]] = value
        elif name in _THINKING and isinstance(value, dict):
            options = _thinking(value) | options
        else:
            extra[name] = value
    if stop := get(fields, "stop"):
        options["stop"] = [stop] if isinstance(stop, str) else stop
    if said := _format(get(fields, "response_format")):
        options["format"] = said
    return options | {"extra": extra, "extra_of": FAMILY} if extra else options


def write_options(options: Mapping[str, Any], dropped: list[str]) -> Fields:
    """The fields of options; names that cannot be said go into `dropped`, without the numbers of their place."""
    fields: Fields = {}
    for name, value in options.items():
        if not name.startswith("extra"):
            _write_option(name, value, fields, dropped)
    fields |= {place: raw(value) for place, value in own_extra(options, FAMILY, dropped)}
    return fields


def _format(wire: Any) -> dict[str, Any] | None:
    """`json_schema` in one level; plain text is no format."""
    if wire is None:
        return None
    said = as_object(wire, "response_format")
    if said.get("type") != "json_schema":
        return None if said.get("type") == "text" else dict(said)
    return {"type": "json_schema", **as_object(said.get("json_schema"), "response_format.json_schema")}


def _thinking(said: Mapping[str, Any]) -> dict[str, Any]:
    """`{type, budget_tokens}`, or OpenRouter's `{enabled, effort, max_tokens, exclude}`."""
    options: dict[str, Any] = {}
    budget = said.get("budget_tokens") or said.get("max_tokens")
    if said.get("type") == "disabled" or said.get("enabled") is False:
        options["effort"] = "none"
    elif effort := said.get("effort"):
        options["effort"] = effort
    elif budget or said.get("type") == "enabled" or said.get("enabled"):
        options["thinking_budget"] = budget or DYNAMIC
    if said.get("exclude"):
        options["thoughts"] = False
    return options


def _tools(wire: Any, extra: dict[str, Any]) -> tuple[Mapping[str, Any], ...]:
    tools: list[Mapping[str, Any]] = []
    for place, tool in each(wire, "tools"):
        if as_object(tool, place).get("type", "function") != "function":
            extra[place] = tool
            continue
        leave(tool, ("type", "function", *MARKS), place, extra)
        function = as_object(tool.get("function"), f"{place}.function")
        mark = next(cache_marks(tool), None)
        tools.append({**function, "cache": mark.ttl} if mark else function)
    return tuple(tools)


def _unmarked(tool: Mapping[str, Any], dropped: list[str]) -> Mapping[str, Any]:
    if "cache" not in tool:
        return tool
    dropped.append("tools.cache_control")
    return {name: value for name, value in tool.items() if name != "cache"}


def _tool_choice(
    wire: Any, tools: tuple[Mapping[str, Any], ...], extra: dict[str, Any]
) -> tuple[str, tuple[Mapping[str, Any], ...]]:
    """The choice, and the tools that it leaves to be chosen from."""
    if wire is None or isinstance(wire, str):
        return wire or "auto", tools
    said = as_object(wire, "tool_choice")
    match said.get("type"):
        case "function":
            function = as_object(said.get("function"), "tool_choice.function")
            return str(function.get("name")), tools
        case "allowed_tools":
            allowed = as_object(said.get("allowed_tools"), "tool_choice.allowed_tools")
            listed = each(allowed.get("tools"), "tool_choice.allowed_tools.tools")
            names = [_name(one, place) for place, one in listed]
            return str(allowed.get("mode", "auto")), tuple([tool for tool in tools if tool.get("name") in names])
    extra["tool_choice[]"] = wire
    return "auto", tools


def _name(tool: Any, place: str) -> Any:
    return as_object(as_object(tool, place).get("function"), f"{place}.function").get("name")


def _written_choice(choice: str) -> Any:
    return choice if choice in ("none", "required") else {"type": "function", "function": {"name": choice}}


def _write_option(name: str, value: Any, fields: Fields, dropped: list[str]) -> None:
    if name == "format":
        schema = {key: one for key, one in value.items() if key != "type"}
        nested = value.get("type") == "json_schema"
        fields["response_format"] = raw({"type": "json_schema", "json_schema": schema} if nested else value)
    elif name in _WRITTEN:
        fields[_WRITTEN[name]] = raw(value)
    elif name == "thinking_budget":
        if effort := effort_of({"thinking_budget": value}):
            fields.setdefault("reasoning_effort", raw(effort))
    elif name == "thoughts":
        return  # who serves this dialect shows thoughts unasked, or never
    else:
        dropped.append(name)
