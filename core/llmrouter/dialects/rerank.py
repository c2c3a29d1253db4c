"""`rerank`: documents by their relevance to a query.

Sources: the API references of Cohere, Jina and Voyage, whose words differ:

| | Cohere, Jina and most others | Voyage |
|---|---|---|
| how many are wanted | top_n | top_k |
| what came of it | results | data |
| a document in it | `{"text": "…"}` | the text |
| what it took | meta.billed_units, or usage | usage.total_tokens |

Either is read. What goes to an upstream says `top_n`; a client is answered in the words it asked in.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from llmrouter.errors import InvalidRequest
from llmrouter.types import Documents, Encoded, Facts, Fields, Op, Payload, Request, Trouble, Wire

from . import hints
from .checks import Kinds, check_kinds, require, values, whole
from .common import decode, dumps, raw
from .errors import envelope
from .openai_peek import BYTES_PER_TOKEN
from .reader import AnswerReader
from .rerank_answers import RerankMeaning, RerankWriter

NAME = "rerank"

KINDS: Mapping[str, Kinds] = {
    "model": ("string",),
    "query": ("string",),
    "top_n": ("number",),
    "top_k": ("number",),
    "return_documents": ("boolean",),
    "truncation": ("boolean",),
}

LARGE = frozenset({"documents"})
_ELSEWHERE = frozenset({"model", "query", "documents", "top_n", "top_k", hints.FIELD})
_OPTIONS = frozenset({"return_documents", "truncation"})


class Rerank:
    name = NAME
    ops: frozenset[Op] = frozenset({"rerank"})
    paths: Mapping[str, Op] = dict.fromkeys(("/v1/rerank", "/v2/rerank", "/rerank"), "rerank")
    expresses = frozenset[str]()

    def facts(self, op: Op, fields: Fields, headers: Mapping[str, str]) -> Facts:
        require(fields, "model", "string")
        require(fields, "query", "string")
        require(fields, "documents", "array")
        said = values(fields, LARGE)
        check_kinds(said, KINDS)
        _top(said)
        own = hints.from_body(said.get(hints.FIELD))
        return Facts(
            op=op,
            wire=Wire(NAME, False),
            asked=said["model"],
            hints=hints.hints(own, headers),
            input_tokens=count_tokens(said["query"], read_documents(fields)),
            max_output=0,
            session=hints.session(own, headers),
            replayable=True,
        )

    def decode(self, op: Op, fields: Fields) -> Payload:
        """Options: return_documents, truncation; `extra` for all that only some vendors know."""
        said = values(fields, LARGE)
        found = {name: value for name, value in said.items() if name not in _ELSEWHERE and value is not None}
        options = {name: value for name, value in found.items() if name in _OPTIONS}
        extra = {name: value for name, value in found.items() if name not in _OPTIONS}
        return Documents(
            query=said["query"],
            documents=read_documents(fields),
            top=_top(said),
            options=options | {"extra": extra} if extra else options,
        )

    def encode(self, op: Op, payload: Payload) -> Encoded:
        if not isinstance(payload, Documents):
            raise InvalidRequest(f"{NAME} says documents only")
        options = dict(payload.options)
        said = {name: value for name, value in options.items() if name in _OPTIONS} | options.pop("extra", {})
        if payload.top is not None:
            said["top_n"] = payload.top
        fields = {"query": raw(payload.query), "documents": raw(payload.documents)}
        dropped = tuple([name for name in options if name not in _OPTIONS])
        return Encoded(fields | {name: raw(value) for name, value in said.items()}, dropped)

    def aim(self, fields: Fields, model: str, stream: bool) -> Fields:
        """Sets the model, says `top_n`, and makes texts of documents that are nothing more."""
        aimed = hints.addressed(fields, model)
        if (top := aimed.pop("top_k", None)) is not None:
            aimed.setdefault("top_n", top)
        if b"{" in bytes(aimed["documents"])[:_NEAR]:
            aimed["documents"] = _as_texts(aimed["documents"])
        return aimed

    def reader(self, op: Op, stream: bool) -> AnswerReader:
        return AnswerReader(NAME, False, RerankMeaning())

    def writer(self, request: Request) -> RerankWriter:
        return RerankWriter(request, lambda: read_documents(request.fields))

    def refuse(self, trouble: Trouble) -> bytes:
        return dumps(envelope(trouble))


def read_documents(fields: Fields) -> tuple[str, ...]:
    """The text of every document; of one that has no `text`, all of it as JSON. Raises InvalidRequest."""
    try:
        found = decode(_documents, fields["documents"])
        return tuple([one if isinstance(one, str) else _text(one) for one in found])
    except ValueError as error:
        raise InvalidRequest(f"documents: {error}", param="documents", code="invalid_type") from None


def count_tokens(query: str, documents: tuple[str, ...]) -> int:
    """An estimate: the query is read anew with every document."""
    return (len(query.encode()) * len(documents) + sum([len(one.encode()) for one in documents])) // BYTES_PER_TOKEN


_NEAR = 16  # bytes in which a first document shows what it is
_documents = msgspec.json.Decoder(list[str | dict[str, msgspec.Raw]])
_string = msgspec.json.Decoder(str)


def _top(said: Mapping[str, Any]) -> int | None:
    return whole(said.get("top_n"), "top_n", 1) or whole(said.get("top_k"), "top_k", 1)


def _text(document: Mapping[str, msgspec.Raw]) -> str:
    if "text" not in document:
        return dumps(document).decode()
    return decode(_string, document["text"])


def _as_texts(documents: msgspec.Raw) -> msgspec.Raw:
    """The same documents as texts, if they are `{"text": "…"}` and no more; else the very same bytes."""
    found = decode(_documents, documents)
    objects = [one for one in found if not isinstance(one, str)]
    if not objects or any(one.keys() != {"text"} for one in objects):
        return documents
    return raw([one if isinstance(one, str) else one["text"] for one in found])
