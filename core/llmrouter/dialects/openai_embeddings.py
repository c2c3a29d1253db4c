"""`openai.embeddings`: texts or token ids → vectors.

Source: the API reference of `POST /v1/embeddings`. In base64 a vector is its little-endian 32-bit floats.
"""

from __future__ import annotations

import base64
import struct
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
from .checks import Kinds, check_kinds, require, values, whole
from .common import decode, dumps, get, join, loads, parse, raw
from .errors import envelope
from .fold import BodyWriter
from .meaning import BodyMeaning, unreadable
from .openai_conversation import FAMILY
from .openai_inputs import count_tokens, read_inputs
from .openai_usage import read_usage
from .reader import AnswerReader

NAME = "openai.embeddings"

KINDS: Mapping[str, Kinds] = {
    "model": ("string",),
    "dimensions": ("number",),
    "encoding_format": ("string",),
    "user": ("string",),
}

LARGE = frozenset({"input"})
_ELSEWHERE = frozenset({"model", "input", hints.FIELD})
_PROMPT, _EDGE = b'"prompt_tokens"', 400


class Embeddings:
    name = NAME
    ops: frozenset[Op] = frozenset({"embed"})
    paths: Mapping[str, Op] = {"/v1/embeddings": "embed"}
    expresses = frozenset({"token_ids"})

    def facts(self, op: Op, fields: Fields, headers: Mapping[str, str]) -> Facts:
        require(fields, "model", "string")
        require(fields, "input", "string", "array")
        said = values(fields, LARGE)
        check_kinds(said, KINDS)
        whole(said.get("dimensions"), "dimensions", 1)
        inputs = read_inputs(fields, "input")
        own = hints.from_body(said.get(hints.FIELD))
        return Facts(
            op=op,
            wire=Wire(NAME, False),
            asked=said["model"],
            hints=hints.hints(own, headers),
            needs=frozenset({"token_ids"} if any(not isinstance(one, str) for one in inputs) else ()),
            input_tokens=count_tokens(inputs),
            max_output=0,
            session=hints.session(own, headers),
            replayable=True,
        )

    def decode(self, op: Op, fields: Fields) -> Payload:
        """Options: dimensions, encoding_format, user; `extra` for all that is not of the API."""
        said = {name: value for name, value in values(fields, _ELSEWHERE).items() if value is not None}
        if "dimensions" in said:
            said["dimensions"] = whole(said.get("dimensions"), "dimensions", 1)
        options = {name: value for name, value in said.items() if name in KINDS}
        extra = {name: value for name, value in said.items() if name not in KINDS}
        return Inputs(read_inputs(fields, "input"), options | {"extra": extra} if extra else options)

    def encode(self, op: Op, payload: Payload) -> Encoded:
        if not isinstance(payload, Inputs):
            raise InvalidRequest(f"{NAME} says inputs only")
        options = dict(payload.options)
        extra, own = options.pop("extra", {}), options.pop("extra_of", FAMILY) == FAMILY
        said = {name: value for name, value in options.items() if name in KINDS} | (extra if own else {})
        fields = {"input": raw(payload.texts)} | {name: raw(value) for name, value in said.items()}
        return Encoded(fields, (*[name for name in options if name not in KINDS], *(() if own else extra)))

    def aim(self, fields: Fields, model: str, stream: bool) -> Fields:
        return hints.addressed(fields, model)

    def reader(self, op: Op, stream: bool) -> AnswerReader:
        return AnswerReader(NAME, False, EmbeddingsMeaning())

    def writer(self, request: Request) -> EmbeddingsWriter:
        return EmbeddingsWriter(request)

    def refuse(self, trouble: Trouble) -> bytes:
        return dumps(envelope(trouble))


class Vectors(Sequence[list[float]]):
    """The value of an embeddings `Result`: vectors in the order of the inputs, decoded when they are looked at.

    An answer that is forwarded as it came is never looked at, and a thousand vectors take 50 ms to decode.
    """

    def __init__(self, vectors: Sequence[msgspec.Raw]) -> None:
        self._vectors = vectors

    def __len__(self) -> int:
        return len(self._vectors)

    def __getitem__(self, at: Any) -> Any:
        found = self._vectors[at]
        return [floats(loads(one)) for one in found] if isinstance(at, slice) else floats(loads(found))


class Embedding(msgspec.Struct, gc=False):
    embedding: msgspec.Raw
    index: int | None = None


class Answer(msgspec.Struct, gc=False):
    data: list[Embedding]
    model: str | None = None
    usage: dict[str, Any] | None = None


_answers = msgspec.json.Decoder(Answer)


class EmbeddingsMeaning(BodyMeaning):
    def body(self, data: bytes) -> Sequence[Event]:
        try:
            answer = decode(_answers, data)
        except msgspec.ValidationError:
            return unreadable(data)
        in_order = sorted(enumerate(answer.data), key=lambda one: one[0] if one[1].index is None else one[1].index)
        events: list[Event] = [Begin("", answer.model or "")]
        events.append(Result(Vectors([one.embedding for _, one in in_order])))
        if answer.usage:
            events.append(Spent(read_usage(answer.usage)))
        return [*events, Finish("stop")]


class EmbeddingsWriter(BodyWriter):
    def end(self) -> bytes:
        tokens = self._tokens
        if not self._raw or not tokens or _tells_prompt(self._raw):
            return super().end()
        return _with_prompt(self._raw, tokens)

    def body(self) -> dict[str, Any]:
        packed = get(self._request.fields, "encoding_format") == "base64"
        data = [
            {"object": "embedding", "index": at, "embedding": pack(vector) if packed else list(vector)}
            for at, vector in enumerate(self._fold.result or ())
        ]
        usage = {"prompt_tokens": self._tokens, "total_tokens": self._tokens}
        return {"object": "list", "data": data, "model": self._model, "usage": usage}

    @property
    def _tokens(self) -> int:
        return self._fold.usage.prompt if self._fold.usage else 0


def _tells_prompt(body: bytes) -> bool:
    """Whether the usage has what SDKs look up. It stands before the vectors or behind them, which are long."""
    return _PROMPT in body[:_EDGE] or _PROMPT in body[-_EDGE:]


def _with_prompt(body: bytes, tokens: int) -> bytes:
    """The same answer with `prompt_tokens`, for vendors who tell the total alone; every other field as it came."""
    fields = parse(body)
    usage = get(fields, "usage")
    return join(fields | {"usage": raw({"prompt_tokens": tokens} | usage)})


def floats(vector: Any) -> list[float]:
    """A vector, whichever of the two encodings it came in. Raises ValueError for what is none."""
    if not isinstance(vector, str):
        return list(vector)
    data = base64.b64decode(vector)
    return [value for (value,) in struct.iter_unpack("<f", data)]


def pack(vector: Sequence[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
