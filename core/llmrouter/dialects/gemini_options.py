"""`generationConfig` and its neighbours ⇄ options by their canonical names.

| canonical | here, in `generationConfig` |
|---|---|
| temperature, top_p, top_k, seed, presence_penalty, frequency_penalty | the same in camelCase |
| n | candidateCount |
| max_output | maxOutputTokens, thoughts included |
| stop | stopSequences, five at most |
| logprobs, top_logprobs | responseLogprobs, logprobs |
| format | responseMimeType and responseJsonSchema; read from responseSchema too |
| effort, thinking_budget, thoughts | thinkingConfig: thinkingLevel, thinkingBudget, includeThoughts |
| service_tier | serviceTier beside it; its `standard` is everybody's `default` |
| extra | all else, by its place: `safetySettings`, `generationConfig.speechConfig` |

A model takes either a level or a budget of thoughts, and few take every level: which is the provider's to know.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmrouter.types import Fields

from .common import raw
from .gemini_common import FAMILY, camelled
from .gemini_schemas import json_schema
from .reading import own_extra

RENAMED: Mapping[str, str] = {
    "temperature": "temperature",
    "topP": "top_p",
    "topK": "top_k",
    "seed": "seed",
    "presencePenalty": "presence_penalty",
    "frequencyPenalty": "frequency_penalty",
    "candidateCount": "n",
    "maxOutputTokens": "max_output",
    "responseLogprobs": "logprobs",
    "logprobs": "top_logprobs",
}
MOST_STOPS = 5
JSON = "application/json"

_WRITTEN = {canonical: name for name, canonical in RENAMED.items()}
_THINKING: Mapping[str, str] = {"thinkingBudget": "thinking_budget", "includeThoughts": "thoughts"}
_TIERS: Mapping[str, str] = {"standard": "default"}
_WRITTEN_TIERS: Mapping[str, str] = {"default": "standard", "flex": "flex", "priority": "priority"}
_CONFIG = "generationConfig"


def read_options(said: dict[str, Any], extra: dict[str, Any]) -> dict[str, Any]:
    """Options by their canonical names, from the fields of a body that are not read elsewhere."""
    options: dict[str, Any] = {}
    config = camelled(said.pop(_CONFIG, None) or {}, _CONFIG)
    if format := _format(config):
        options["format"] = format
    if stops := config.pop("stopSequences", None):
        options["stop"] = stops
    if config.get("responseModalities") in (["TEXT"], ["text"], []):
        del config["responseModalities"]
    if thinking := config.pop("thinkingConfig", None):
        options |= _thinking(camelled(thinking, f"{_CONFIG}.thinkingConfig"), extra)
    for name, value in config.items():
        if name in RENAMED:
            options[RENAMED[name]] = value
        else:
            extra[f"{_CONFIG}.{name}"] = value
    if isinstance(tier := said.pop("serviceTier", None), str):
        options["service_tier"] = _TIERS.get(tier.lower(), tier.lower())
    extra |= said
    return options | {"extra": extra, "extra_of": FAMILY} if extra else options


def write_options(options: Mapping[str, Any], dropped: list[str]) -> Fields:
    """The fields of options; names that cannot be said go into `dropped`, without the numbers of their place."""
    config: dict[str, Any] = {}
    fields: Fields = {}
    for name, value in options.items():
        if name == "service_tier" and value in _WRITTEN_TIERS:
            fields["serviceTier"] = raw(_WRITTEN_TIERS[value])
        elif not name.startswith("extra") and not _write(name, value, config, dropped):
            dropped.append(name)
    if thinking := _written_thinking(options):
        config["thinkingConfig"] = thinking
    for place, value in own_extra(options, FAMILY, dropped):
        head, _, name = place.partition(".")
        if head == _CONFIG:
            config[name] = value
        elif name:
            dropped.append(place)
        else:
            fields[place] = raw(value)
    return fields | {_CONFIG: raw(config)} if config else fields


def _write(name: str, value: Any, config: dict[str, Any], dropped: list[str]) -> bool:
    """Whether the option could be said, or says nothing that needs saying."""
    match name:
        case "stop":
            stops = [one for one in value if one]
            config |= {"stopSequences": stops[:MOST_STOPS]} if stops else {}
            dropped.extend(["stop"] if len(stops) > MOST_STOPS else ())
        case "format":
            config["responseMimeType"] = JSON
            if value.get("schema") is not None:
                config["responseJsonSchema"] = value["schema"]
        case "n" | "logprobs" | "top_logprobs":
            if value and (name != "n" or value > 1):
                config[_WRITTEN[name]] = value
        case "parallel_tools":
            return value is not False
        case "effort" | "thinking_budget" | "thoughts":
            pass  # said together
        case _ if name in _WRITTEN:
            config[_WRITTEN[name]] = value
        case _:
            return False
    return True


def _format(config: dict[str, Any]) -> dict[str, Any] | None:
    """A format; another media type than JSON is none of ours."""
    if config.get("responseMimeType", JSON) != JSON:
        return None
    kind = config.pop("responseMimeType", None)
    older = config.pop("responseSchema", None)
    schema = config.pop("responseJsonSchema", None)
    schema = json_schema(older) if schema is None else schema
    if schema is not None:
        return {"type": "json_schema", "name": "response", "schema": schema}
    return {"type": "json_object"} if kind else None


def _thinking(said: dict[str, Any], extra: dict[str, Any]) -> dict[str, Any]:
    found = {_THINKING[name]: said.pop(name) for name in _THINKING if name in said}
    level = str(said.pop("thinkingLevel", "")).lower()
    if level and level != "thinking_level_unspecified":
        found["effort"] = level
    extra |= {f"{_CONFIG}.thinkingConfig.{name}": value for name, value in said.items()}
    return found


def _written_thinking(options: Mapping[str, Any]) -> dict[str, Any]:
    """Both together are refused: the word wins, for it was chosen and the budget may be a default."""
    thinking: dict[str, Any] = {}
    if effort := options.get("effort"):
        thinking["thinkingLevel"] = effort
    elif (budget := options.get("thinking_budget")) is not None:
        thinking["thinkingBudget"] = budget
    if options.get("thoughts") is not None:
        thinking["includeThoughts"] = bool(options["thoughts"])
    return thinking
