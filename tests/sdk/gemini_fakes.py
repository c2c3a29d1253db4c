"""An upstream that answers as Google would, as far as its SDK's everyday calls go."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from llmrouter.testing.upstream import Received, Script
from llmrouter.testing.upstream_gemini import Embed, Generate, counting, insisting

from .fakes import PERSON, PLACES


def gemini(request: Received) -> Script:
    """The answer that fits the request; turns that called come back signed, or are refused."""
    if ":countTokens" in request.path:
        return counting()
    if "mbedContent" in request.path:
        return Embed().answer()
    return insisting(_generate(request.json))


def _generate(asked: Mapping[str, Any]) -> Generate:
    if asked.get("generationConfig", {}).get("responseJsonSchema"):
        return Generate(json.dumps(PERSON))
    last = asked["contents"][-1]["parts"]
    if outputs := [_output(part["functionResponse"]) for part in last if "functionResponse" in part]:
        return Generate(" and ".join(outputs))
    if asked.get("tools"):
        return Generate(tools=PLACES)
    return Generate("saw " + " ".join(_kinds(last))) if len(last) > 1 else Generate()


def _output(response: Mapping[str, Any]) -> str:
    return str(response["response"].get("output") or response["response"].get("result"))


def _kinds(parts: Sequence[Mapping[str, Any]]) -> list[str]:
    return [next(iter(part)) for part in parts]
