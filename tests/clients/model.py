"""A scripted model that uses the tools of whoever asks it, on any upstream wire.

Asked for a proof, it first calls the client's own shell, or asks for the file where it is offered none. Only when
it has seen what stands in the file does it say the word that the test waits for: the word is in no script.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from llmrouter.testing.speaker import Tool
from llmrouter.testing.upstream import Received, Script
from llmrouter.testing.upstream_openai import error
from llmrouter.testing.upstream_scripts import JSON, answer, chosen

from .wires import WIRES, Asked

WORDS = "Seventeen geese crossed the frozen lake."
FILE = "proof.txt"
COMMAND = f"cat {FILE}"
PARAMETERS = ("cmd", "command", "commands")
"""What a shell calls its command."""
_PROOF = re.compile(r"proof: (\w+)")


def proof(word: str) -> str:
    """What stands in the file."""
    return f"proof: {word}\n"


def model(wants_proof: bool) -> Script:
    """The model that this module is about."""
    return speaking(lambda asked: said(asked, wants_proof))


def speaking(say: Callable[[Asked], tuple[str, Sequence[Tool]]]) -> Script:
    """A model on every wire, by the path that is asked; no other path is served."""

    def choose(request: Received) -> Script:
        for path, wire in WIRES.items():
            if path in request.path:
                return wire.speaker(*say(wire.read(request.json))).answer()
        return answer(404, JSON, error(f"nothing is served at {request.path}"))

    return chosen(choose)


def said(asked: Asked, wants_proof: bool) -> tuple[str, Sequence[Tool]]:
    """What the model answers: a text, or a call."""
    if not wants_proof:
        return WORDS, ()
    if found := _PROOF.search(" ".join(asked.outputs) or asked.text):
        return f"The file says {found[1]}.", ()
    for name, schema in asked.tools.items():
        if parameter := next((one for one in PARAMETERS if one in schema.get("properties", {})), ""):
            return "", [("call_proof_1", name, json.dumps({**_required(schema), **_command(schema, parameter)}))]
    return f"Let me see {FILE} first.", ()


def _command(schema: Mapping[str, Any], parameter: str) -> dict[str, Any]:
    """The command, as one text or in a list."""
    kind = str(schema["properties"][parameter].get("type")).lower()
    return {parameter: [COMMAND] if kind == "array" else COMMAND}


def _required(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Something for every argument that a tool wants beside the command."""
    properties = schema.get("properties", {})
    return {name: _some(properties.get(name, {})) for name in schema.get("required", ())}


def _some(schema: Mapping[str, Any]) -> Any:
    if "enum" in schema:
        return schema["enum"][0]
    kinds: Mapping[str, Any] = {"boolean": False, "integer": 10, "number": 10, "array": [], "object": {}}
    return kinds.get(str(schema.get("type", "string")).lower(), "To read a file.")
