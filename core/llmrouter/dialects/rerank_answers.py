"""Answers of `rerank` ⇄ events, in the words of either family of vendors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal

import msgspec
from attrs import frozen

from llmrouter.types import Begin, Event, Finish, Request, Result, Spent, Usage

from .common import decode, get
from .fold import BodyWriter
from .meaning import BodyMeaning, unreadable
from .openai_usage import read_usage

Listed = Literal["results", "data"]

VOYAGES = frozenset({"top_k", "truncation"})
"""Fields of a request that only Voyage has: who says them waits for `data`."""


class Hit(msgspec.Struct, gc=False):
    """A document in its place; `document` is a text, `{"text": "…"}`, or nothing."""

    index: Annotated[int, msgspec.Meta(ge=0)]
    relevance_score: float
    document: Any = None

    @property
    def text(self) -> str | None:
        found = self.document.get("text") if isinstance(self.document, dict) else self.document
        return found if isinstance(found, str) else None


@frozen
class Hits:
    """The value of a rerank `Result`: the best first, and the word under which they were listed."""

    listed: Listed
    hits: Sequence[Hit]


class Answer(msgspec.Struct, gc=False):
    results: list[Hit] | None = None
    data: list[Hit] | None = None
    id: Any = None
    model: Any = None
    usage: Any = None
    meta: Any = None


_answers = msgspec.json.Decoder(Answer)


class RerankMeaning(BodyMeaning):
    def body(self, data: bytes) -> Sequence[Event]:
        try:
            answer = decode(_answers, data)
        except msgspec.ValidationError:
            answer = Answer()
        listed: Listed = "data" if answer.results is None else "results"
        hits = answer.results if answer.data is None else answer.data
        if hits is None:
            return unreadable(data)
        events: list[Event] = [Begin(str(answer.id or ""), str(answer.model or "")), Result(Hits(listed, hits))]
        if usage := read_spent(answer):
            events.append(Spent(usage))
        return [*events, Finish("stop")]


def read_spent(answer: Answer) -> Usage | None:
    """Tokens, or searches where the vendor bills those."""
    if answer.usage and isinstance(answer.usage, dict):
        return read_usage(answer.usage)
    billed = answer.meta.get("billed_units") if isinstance(answer.meta, dict) else None
    if not isinstance(billed, dict):
        return None
    return Usage(input=_count(billed.get("input_tokens")), searches=_count(billed.get("search_units")))


def _count(value: Any) -> int:
    return int(value) if isinstance(value, int | float) and value > 0 else 0


class RerankWriter(BodyWriter):
    """`documents` gives the client's own, for upstreams that do not return what was wanted back."""

    def __init__(self, request: Request, documents: Callable[[], Sequence[str]]) -> None:
        super().__init__(request)
        said = request.fields
        self._listed: Listed = "data" if VOYAGES & said.keys() and "top_n" not in said else "results"
        self._wants_documents = get(said, "return_documents") is True
        self._documents = documents

    def end(self) -> bytes:
        if self._found.listed != self._listed or self._lacks_documents():
            self._raw = b""
        return super().end()

    def body(self) -> Mapping[str, Any]:
        said = self._as_data() if self._listed == "data" else self._as_results()
        return {"model": self._model, **said}

    @property
    def _found(self) -> Hits:
        return self._fold.result or Hits("results", ())

    def _lacks_documents(self) -> bool:
        return self._wants_documents and any(hit.text is None for hit in self._found.hits)

    def _as_data(self) -> Mapping[str, Any]:
        usage = self._fold.usage or Usage()
        hits = self._hits(lambda text: text)
        return {"object": "list", "data": hits, "usage": {"total_tokens": usage.prompt}}

    def _as_results(self) -> Mapping[str, Any]:
        usage = self._fold.usage or Usage()
        hits = self._hits(lambda text: {"text": text})
        answer = {"id": self._id or self._facts.id, "results": hits}
        if usage.searches:
            return answer | {"meta": {"billed_units": {"search_units": usage.searches}}}
        return answer | {"usage": {"total_tokens": usage.prompt}}

    def _hits(self, shown: Callable[[str], Any]) -> list[Mapping[str, Any]]:
        own = self._documents() if self._lacks_documents() else ()
        return [_written(hit, shown, own) if self._wants_documents else _written(hit) for hit in self._found.hits]


def _written(hit: Hit, shown: Callable[[str], Any] | None = None, own: Sequence[str] = ()) -> Mapping[str, Any]:
    said = {"index": hit.index, "relevance_score": hit.relevance_score}
    if shown is None:
        return said
    text = own[hit.index] if hit.text is None and hit.index < len(own) else hit.text
    return said if text is None else said | {"document": shown(text)}
