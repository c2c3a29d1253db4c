"""The options of Messages ⇄ options by their canonical names.

| canonical | here |
|---|---|
| temperature, top_p, top_k | the same; the temperature is at most 1, and only one of the first two is sent |
| max_output | max_tokens, which is left to the provider where nobody says it |
| stop | stop_sequences, without blank ones |
| format | output_config.format; `json_object` becomes an instruction, and is reported |
| effort, thinking_budget, thoughts | thinking and output_config.effort, see `anthropic_thinking` |
| parallel_tools | tool_choice.disable_parallel_tool_use |
| user | metadata.user_id |
| service_tier | `standard_only` for `default`, else the same |
| extra | every other field |
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from llmrouter.types import Fields

from .anthropic_schemas import bound
from .anthropic_thinking import LEAST_TOP_P, is_forced, read_thinking, write_thinking
from .common import get
from .hints import FIELD
from .reading import as_object, leave, own_extra

FAMILY = "anthropic"
MOST_NAME = 64  # characters of the name of a format
MOST_USER = 256
SAME = ("temperature", "top_p", "top_k")
RENAMED: Mapping[str, str] = {"max_tokens": "max_output", "stop_sequences": "stop"} | {one: one for one in SAME}
"""Fields that are options as they stand."""
TIERS: Mapping[str, str] = {"standard_only": "default"}

_WRITTEN = {canonical: name for name, canonical in RENAMED.items()}
_SPECIAL = frozenset(
    {
        "model", "stream", "messages", "system", "tools", "tool_choice", "thinking", "output_config",
        "output_format", "metadata", "service_tier", FIELD,
    }
)  # fmt: skip
_ELSEWHERE = frozenset(
    {
        "format", "effort", "thinking_budget", "thoughts", "parallel_tools", "user", "service_tier", "extra",
        "extra_of",
    }
)  # fmt: skip
_SAY_NOTHING: Mapping[str, Any] = {"n": 1, "logprobs": False, "presence_penalty": 0, "frequency_penalty": 0}
"""Values of options that cannot be said, and need not: they are what happens anyway."""
_UNFIT = re.compile(r"[^a-zA-Z0-9_-]")


def read_options(fields: Fields, extra: dict[str, Any]) -> dict[str, Any]:
    """Fields that are no options go into `extra`. Raises InvalidRequest."""
    options: dict[str, Any] = {}
    for name in fields:
        if name in _SPECIAL or (value := get(fields, name)) is None:
            continue
        if name in RENAMED:
            options[RENAMED[name]] = value
        else:
            extra[name] = value
    if (tier := get(fields, "service_tier")) is not None:
        options["service_tier"] = TIERS.get(tier, tier)
    metadata = as_object(get(fields, "metadata") or {}, "metadata")
    leave(metadata, ("user_id",), "metadata", extra)
    if user := metadata.get("user_id"):
        options["user"] = user
    output = as_object(get(fields, "output_config") or {}, "output_config")
    leave(output, ("effort", "format"), "output_config", extra)
    if format := _format(output.get("format") or get(fields, "output_format")):
        options["format"] = format
    return options | read_thinking(get(fields, "thinking"), output.get("effort"))


def _format(wire: Any) -> dict[str, Any] | None:
    """A schema has no name here, and everywhere else it must have one."""
    if not isinstance(wire, dict) or wire.get("type") != "json_schema":
        return None
    schema = wire.get("schema")
    title = schema.get("title") if isinstance(schema, dict) else None
    name = _UNFIT.sub("_", title)[:MOST_NAME] if isinstance(title, str) and title else "answer"
    return {"type": "json_schema", "name": name, "schema": schema}


def write_options(options: Mapping[str, Any], dropped: list[str]) -> dict[str, Any]:
    """Names that cannot be said go into `dropped`, without the numbers of their place."""
    body: dict[str, Any] = {}
    for name, value in options.items():
        if name in _WRITTEN:
            body[_WRITTEN[name]] = value
        elif name not in _ELSEWHERE and not (name in _SAY_NOTHING and _SAY_NOTHING[name] == value):
            dropped.append(name)
    _sample(body, dropped)
    _speak_for(options, body, dropped)
    thinking, effort = write_thinking(options, dropped)
    output: dict[str, Any] = {"effort": effort} if effort else {}
    if (format := options.get("format")) and format.get("type") == "json_schema":
        output["format"] = {"type": "json_schema", "schema": bound(format.get("schema"))}
    body |= {name: value for name, value in (("thinking", thinking), ("output_config", output)) if value}
    for place, value in own_extra(options, FAMILY, dropped):
        if "." in place:
            dropped.append(place)
        else:
            body[place] = value
    return body


def _sample(body: dict[str, Any], dropped: list[str]) -> None:
    if (warmth := body.get("temperature")) is not None and warmth > 1:
        body["temperature"] = 1
        dropped.append("temperature")
    if "temperature" in body and "top_p" in body:
        del body["top_p"]
        dropped.append("top_p")
    if stop := body.pop("stop_sequences", None):
        if kept := [one for one in stop if one.strip()]:
            body["stop_sequences"] = kept
        if len(kept) < len(stop):
            dropped.append("stop")


def _speak_for(options: Mapping[str, Any], body: dict[str, Any], dropped: list[str]) -> None:
    """For whom, and how urgently."""
    if (user := options.get("user")) is not None:
        if len(user) <= MOST_USER:
            body["metadata"] = {"user_id": user}
        else:
            dropped.append("user")
    if (tier := options.get("service_tier")) is not None:
        if tier in ("auto", "default"):
            body["service_tier"] = "auto" if tier == "auto" else "standard_only"
        else:
            dropped.append("service_tier")


def keep_peace(body: dict[str, Any], dropped: list[str]) -> None:
    """Under a budget of thoughts no tool may be forced; whoever thinks is sampled as the vendor wants it."""
    thinking = (body.get("thinking") or {}).get("type")
    if thinking == "enabled" and is_forced(body.get("tool_choice")):
        output = {name: value for name, value in body.pop("output_config", {}).items() if name != "effort"}
        del body["thinking"]
        body.update({"output_config": output} if output else {})
        dropped.append("thinking_budget")
        return
    if thinking not in ("enabled", "adaptive"):
        return
    for name, fits in (("temperature", _is_one), ("top_k", _never), ("top_p", _is_wide)):
        if name in body and not fits(body[name]):
            del body[name]
            dropped.append(name)


def _is_one(value: float) -> bool:
    return value == 1


def _is_wide(value: float) -> bool:
    return value >= LEAST_TOP_P


def _never(value: float) -> bool:
    return False
