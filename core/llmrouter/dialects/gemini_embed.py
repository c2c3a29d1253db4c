"""`gemini.embed`: embedContent and batchEmbedContents of Google's models.

Source: the API reference of batchEmbedContents, v1beta. One content or a list of requests: a body stays what it is,
and what is translated is a list.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from llmrouter.errors import InvalidRequest
from llmrouter.types import (
    Begin,
    Encoded,
    Event,
    Facts,
    Fields,
    Finish,
    Inputs,
    Op,
    Payload,
    Request,
    Result,
    Spent,
    Trouble,
    Wire,
)

from . import hints
from .checks import require, values
from .common import decode, dumps, get, raw
from .fold import BodyWriter
from .gemini_common import FAMILY, camelled, each
from .gemini_errors import envelope
from .gemini_paths import named, read_path
from .gemini_usage import Counts, read_usage
from .meaning import BodyMeaning, unreadable
from .openai_embeddings import Vectors
from .openai_inputs import count_tokens
from .reader import AnswerReader

NAME = "gemini.embed"
BATCH = "requests"
"""The field of a body that is a list of requests."""

_VERBS = frozenset({"embedContent", "batchEmbedContents"})
_PSEUDO = frozenset({"model", hints.FIELD})
_READ_ELSEWHERE = frozenset({"content", *_PSEUDO})
_LENGTH = "outputDimensionality"
_requests = msgspec.json.Decoder(list[msgspec.Raw])


class Embed:
    name = NAME
    ops: frozenset[Op] = frozenset({"embed"})
    paths: Mapping[str, Op] = {}
    expresses: frozenset[str] = frozenset()

    def place(self, path: str, query: str) -> tuple[Op, Fields] | None:
        found = read_path(path)
        return ("embed", {"model": raw(found[0])}) if found and found[1] in _VERBS else None

    def facts(self, op: Op, fields: Fields, headers: Mapping[str, str]) -> Facts:
        require(fields, "model", "string")
        asked, texts, _ = _read(fields)
        own = hints.from_body(values(fields, frozenset({BATCH, "content"})).get(hints.FIELD))
        return Facts(
            op=op,
            wire=Wire(NAME, False),
            asked=get(fields, "model"),
            hints=hints.hints(own, headers),
            needs=frozenset({"vision"} if any("inlineData" in one or "fileData" in one for one in asked) else ()),
            input_tokens=count_tokens(texts),
            max_output=0,
            session=hints.session(own, headers),
            replayable=True,
        )

    def decode(self, op: Op, fields: Fields) -> Payload:
        """Options: dimensions; `extra` for all that other dialects do not know, such as `taskType`."""
        _, texts, options = _read(fields)
        return Inputs(texts, _shared(options))

    def encode(self, op: Op, payload: Payload) -> Encoded:
        if not isinstance(payload, Inputs) or not all(isinstance(text, str) for text in payload.texts):
            raise InvalidRequest(f"{NAME} says texts only")
        options = dict(payload.options)
        options.pop("encoding_format", None)  # the client's writer says it in either
        extra, family = options.pop("extra", {}), options.pop("extra_of", "")
        said = {_LENGTH: options.pop("dimensions", None)} | (extra if family == FAMILY else {})
        more = {name: value for name, value in said.items() if value is not None}
        requests = [{"content": {"parts": [{"text": text}]}, **more} for text in payload.texts]
        return Encoded({BATCH: raw(requests)}, (*options, *(() if family == FAMILY else extra)))

    def aim(self, fields: Fields, model: str, stream: bool) -> Fields:
        """Every request of a list names the model of the path once more."""
        aimed = {name: value for name, value in fields.items() if name not in _PSEUDO}
        if BATCH in aimed:
            before = _opened(aimed[BATCH])
            after = [named(one, model) for one in before]
            if any(one is not two for one, two in zip(before, after, strict=True)):
                aimed[BATCH] = raw(after)
        return aimed

    def reader(self, op: Op, stream: bool) -> AnswerReader:
        return AnswerReader(NAME, False, EmbedMeaning())

    def writer(self, request: Request) -> EmbedWriter:
        return EmbedWriter(request)

    def refuse(self, trouble: Trouble) -> bytes:
        return dumps(envelope(trouble))


class Embedding(msgspec.Struct, gc=False):
    values: msgspec.Raw


class Answer(msgspec.Struct, gc=False):
    embeddings: list[Embedding] | None = None
    embedding: Embedding | None = None
    usageMetadata: Counts | None = None


_answers = msgspec.json.Decoder(Answer)


class EmbedMeaning(BodyMeaning):
    def body(self, data: bytes) -> Sequence[Event]:
        try:
            answer = decode(_answers, data)
        except msgspec.ValidationError:
            answer = Answer()
        found = answer.embeddings or ([answer.embedding] if answer.embedding else [])
        if not found:
            return unreadable(data)
        events: list[Event] = [Begin("", ""), Result(Vectors([one.values for one in found]))]
        if answer.usageMetadata and (usage := read_usage(answer.usageMetadata)):
            events.append(Spent(usage))
        return [*events, Finish("stop")]


class EmbedWriter(BodyWriter):
    envelope = staticmethod(envelope)

    def body(self) -> dict[str, Any]:
        found = [{"values": list(vector)} for vector in self._fold.result or ()]
        listed = BATCH in self._request.fields or not found
        return {"embeddings": found} if listed else {"embedding": found[0]}


def _read(fields: Fields) -> tuple[list[dict[str, Any]], tuple[str, ...], list[dict[str, Any]]]:
    """The parts of all requests, the text and the options of each. Raises InvalidRequest."""
    listed = get(fields, BATCH) if BATCH in fields else [{name: get(fields, name) for name in fields}]
    parts: list[dict[str, Any]] = []
    texts: list[str] = []
    options: list[dict[str, Any]] = []
    for place, one in each(listed, BATCH):
        request = camelled(one, place)
        content = camelled(request.get("content"), f"{place}.content")
        own = [camelled(part, at) for at, part in each(content.get("parts"), f"{place}.content.parts")]
        parts += own
        texts.append("".join([str(part.get("text") or "") for part in own]))
        options.append({name: value for name, value in request.items() if name not in _READ_ELSEWHERE})
    if not texts:
        raise InvalidRequest(f"{BATCH} is empty", param=BATCH)
    return parts, tuple(texts), options


def _shared(options: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The options of a whole list. Raises InvalidRequest where it wants vectors of several lengths."""
    lengths = [one.get(_LENGTH) for one in options]
    if any(length != lengths[0] for length in lengths):
        raise InvalidRequest(f"{NAME} alone has several lengths in one list", param=_LENGTH)
    extra = {name: value for one in reversed(options) for name, value in one.items() if name != _LENGTH}
    shared = {} if lengths[0] is None else {"dimensions": lengths[0]}
    return shared | {"extra": extra, "extra_of": FAMILY} if extra else shared


def _opened(requests: msgspec.Raw) -> list[msgspec.Raw]:
    try:
        return decode(_requests, requests)
    except ValueError as error:
        raise InvalidRequest(f"{BATCH}: {error}", param=BATCH) from None
