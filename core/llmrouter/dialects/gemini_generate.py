"""`gemini.generate`: generateContent, streamGenerateContent and countTokens of Google's models.

Source: the API reference of generateContent, v1beta. Model and stream stand in the path: here they are fields like
those of other dialects, put in by `place` and taken out by `aim`; the provider writes the path anew. A body that
stays in this dialect is forwarded byte for byte; how it is translated stands in `gemini_conversation`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from llmrouter.errors import InvalidRequest
from llmrouter.types import Conversation, Encoded, Facts, Fields, Op, Payload, Request, Trouble, Wire

from . import gemini_memory, hints
from .checks import require, values, whole
from .common import dumps, parse, raw
from .gemini_answers import CountMeaning, GenerateReader
from .gemini_common import NAME, camelled
from .gemini_conversation import PSEUDO, read_conversation, write_conversation
from .gemini_errors import envelope
from .gemini_paths import named, read_path
from .gemini_peek import peek
from .gemini_writers import CountWriter, PlainWriter, StreamWriter
from .reader import AnswerReader

COUNTED = "generateContentRequest"
"""The field of a count that holds a whole request; contents alone stand beside it."""

_VERBS: Mapping[str, Op] = {"generateContent": "chat", "streamGenerateContent": "chat", "countTokens": "count"}
_LARGE = frozenset({"contents", "tools", "systemInstruction", "system_instruction", COUNTED})
_REPLAYABLE = frozenset({"vision", "remote_media", "json_schema", "json_object"})
"""Needs of a request that may be answered from a recording."""


class Generate:
    name = NAME
    ops: frozenset[Op] = frozenset({"chat", "count"})
    paths: Mapping[str, Op] = {}
    expresses = frozenset(
        {
            "tools",
            "vision",
            "audio",
            "audio_out",
            "files",
            "vendor_files",
            "json_schema",
            "json_object",
            "logprobs",
            "n",
        }
    )

    def place(self, path: str, query: str) -> tuple[Op, Fields] | None:
        found = read_path(path)
        if found is None or found[1] not in _VERBS:
            return None
        said: Fields = {"model": raw(found[0])}
        if found[1] == "streamGenerateContent":
            events = "alt=sse" in query
            said |= {"stream": raw(events)} if events else {"alt": raw("json")}
        return _VERBS[found[1]], said

    def facts(self, op: Op, fields: Fields, headers: Mapping[str, str]) -> Facts:
        require(fields, "model", "string")
        counted = op == "count" and COUNTED in fields
        body = parse(bytes(fields[COUNTED])) if counted else fields
        require(body, "contents", "array", "object")
        said = values(fields, _LARGE)
        config = camelled(said.get("generationConfig") or said.get("generation_config") or {}, "generationConfig")
        seen = peek(body)
        needs = seen.needs | _needs(config)
        own = hints.from_body(said.get(hints.FIELD))
        return Facts(
            op=op,
            wire=Wire(NAME, bool(said.get("stream"))),
            asked=said["model"],
            hints=hints.hints(own, headers),
            needs=needs,
            input_tokens=seen.tokens,
            max_output=whole(config.get("maxOutputTokens"), "maxOutputTokens", 1) if op == "chat" else 0,
            session=hints.session(own, headers),
            in_tool_loop=seen.in_tool_loop,
            replayable=op == "chat" and needs <= _REPLAYABLE and config.get("temperature") == 0,
        )

    def decode(self, op: Op, fields: Fields) -> Payload:
        return read_conversation(fields)

    def encode(self, op: Op, payload: Payload) -> Encoded:
        if not isinstance(payload, Conversation):
            raise InvalidRequest(f"{NAME} says conversations only")
        encoded = write_conversation(payload)
        return _counted(encoded) if op == "count" else encoded

    def aim(self, fields: Fields, model: str, stream: bool) -> Fields:
        """The body without what the path will say."""
        aimed = {name: value for name, value in fields.items() if name not in PSEUDO}
        if COUNTED in aimed:
            aimed[COUNTED] = named(aimed[COUNTED], model)
        return aimed

    def reader(self, op: Op, stream: bool) -> AnswerReader:
        return AnswerReader(NAME, False, CountMeaning()) if op == "count" else GenerateReader(stream)

    def writer(self, request: Request) -> StreamWriter | PlainWriter | CountWriter:
        if request.facts.op == "count":
            return CountWriter(request)
        if request.facts.wire.stream:
            return StreamWriter(request)
        return PlainWriter(request, listed="alt" in request.fields)

    def refuse(self, trouble: Trouble) -> bytes:
        return dumps(envelope(trouble))

    def names(self, fields: Fields) -> Sequence[str]:
        return gemini_memory.names(fields)

    def resolve(self, fields: Fields, found: Mapping[str, bytes]) -> Fields:
        return gemini_memory.resolve(fields, found)


def _counted(encoded: Encoded) -> Encoded:
    """What has more than contents is counted as a whole request; `aim` names its model."""
    if encoded.fields.keys() == {"contents"}:
        return encoded
    whole_request = {name: value for name, value in encoded.fields.items() if name != "generationConfig"}
    return Encoded({COUNTED: raw(whole_request)}, encoded.dropped, encoded.renamed)


def _needs(config: Mapping[str, Any]) -> set[str]:
    """What an upstream's dialect must be able to say, as far as it does not stand in contents and tools."""
    needs = set[str]()
    if (whole(config.get("candidateCount"), "candidateCount", 1) or 1) > 1:
        needs.add("n")
    if config.get("responseLogprobs"):
        needs.add("logprobs")
    modalities = config.get("responseModalities")
    if isinstance(modalities, list) and "AUDIO" in modalities:
        needs.add("audio_out")
    if config.get("responseSchema") is not None or config.get("responseJsonSchema") is not None:
        needs.add("json_schema")
    elif config.get("responseMimeType") == "application/json":
        needs.add("json_object")
    return needs
