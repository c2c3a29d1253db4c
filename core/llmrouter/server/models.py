"""The list of models, in the shape of the vendor whose client asks: OpenAI's, Anthropic's or Gemini's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property
from typing import Any
from urllib.parse import parse_qs

from attrs import asdict, frozen

from llmrouter.catalogue.offers import Offer
from llmrouter.errors import InvalidRequest
from llmrouter.protocols import ASGIScope, Dialect
from llmrouter.types import Op, Price

from .answers import Answer, Refused, invalid, said, trouble
from .auth import Keys
from .needs import World

MODELS = "/v1/models"
GEMINI_MODELS = "/v1beta/models"
MOST = 1000  # models on a page; as many where no number is asked for
NO_MODEL = trouble(404, "model_not_found", f"There is no such model here; {MODELS} lists them.", "not_found")
METHODS: Mapping[Op, Sequence[str]] = {
    "chat": ("generateContent", "streamGenerateContent"),
    "count": ("countTokens",),
    "embed": ("embedContent", "batchEmbedContents"),
}
"""Gemini's words for what a model does."""
EXTRAS = ("request", "web_search", "tiers")
"""Parts of a price that most models do not have."""

Headers = Mapping[str, str]


@frozen(kw_only=True)
class Shape:
    """A vendor's way to list: its errors, a model, and a page of them with what it says of further ones."""

    dialect: str
    one: Callable[[Offer, int], dict[str, Any]]
    page: Callable[[Sequence[dict[str, Any]], Sequence[Offer], bool], dict[str, Any]]
    limit: str = ""  # the query's word for how many; without one there is one page
    after: str = ""
    before: str = ""


class Models:
    """The list of one world. `started` is the age, in seconds since the epoch, of what nobody lists."""

    def __init__(self, world: World, keys: Keys, started: int) -> None:
        self._world = world
        self._keys = keys
        self._started = started

    def serves(self, path: str) -> bool:
        return path in (MODELS, GEMINI_MODELS) or path.startswith((f"{MODELS}/", f"{GEMINI_MODELS}/"))

    def dialect(self, scope: ASGIScope, headers: Headers) -> Dialect | None:
        """Whose error is due, if this router speaks it."""
        if not self.serves(scope["path"]):
            return None
        return self._world.dialects.get(_shape(scope["path"], headers).dialect)

    async def page(self, scope: ASGIScope, headers: Headers) -> Answer:
        """All of them, or the one that the path names: its id may contain slashes. Raises Refused."""
        self._keys.check(headers, scope["query_string"])
        path: str = scope["path"]
        shape = _shape(path, headers)
        if path not in (MODELS, GEMINI_MODELS):
            return said(self._named(path.removeprefix(MODELS).removeprefix(GEMINI_MODELS)[1:], shape))
        query = parse_qs(scope["query_string"].decode("latin-1"))
        try:
            shown, more = _cut(self._offers, shape, {name: values[0] for name, values in query.items()})
        except InvalidRequest as error:
            raise Refused(invalid(error)) from None
        return said(shape.page([shape.one(offer, self._started) for offer in shown], shown, more))

    @cached_property
    def _offers(self) -> Sequence[Offer]:
        return self._world.offers()

    def _named(self, id: str, shape: Shape) -> dict[str, Any]:
        for offer in self._offers:
            if offer.id == id:
                return shape.one(offer, self._started)
        raise Refused(NO_MODEL)


def _shape(path: str, headers: Headers) -> Shape:
    if path.startswith(GEMINI_MODELS):
        return GEMINI
    if "anthropic-version" in headers:
        return ANTHROPIC
    return GEMINI if "x-goog-api-key" in headers else OPENAI


def _cut(offers: Sequence[Offer], shape: Shape, query: Mapping[str, str]) -> tuple[Sequence[Offer], bool]:
    """The page that is asked for, and whether more follow. Raises InvalidRequest."""
    if not shape.limit:
        return offers, False
    limit = _limit(query.get(shape.limit, str(MOST)), shape.limit)
    if last := query.get(shape.before):
        ahead = offers[: _place(offers, last, shape.before)]
        return ahead[-limit:], len(ahead) > limit
    first = query.get(shape.after)
    left = offers[_place(offers, first, shape.after) + 1 :] if first else offers
    return left[:limit], len(left) > limit


def _limit(text: str, param: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text)):
        raise InvalidRequest(f"`{param}` is the number of models wanted.", param=param)
    return min(int(text), MOST)


def _place(offers: Sequence[Offer], id: str, param: str) -> int:
    for place, offer in enumerate(offers):
        if offer.id == id:
            return place
    raise InvalidRequest(f"`{param}` names no model of this list: begin again without it.", param=param)


# ---- the shapes


def _openai(offer: Offer, started: int) -> dict[str, Any]:
    """With what is known beside it, in the words of the configuration."""
    card = offer.card
    return _known(
        id=offer.id,
        object="model",
        created=int(offer.since or started),
        owned_by=offer.owner,
        context_window=card.window,
        max_output=card.max_output,
        price=card.price and _said(card.price),
        abilities=None if card.abilities is None else sorted(card.abilities),
    )


def _said(price: Price) -> dict[str, Any]:
    """A price without what nobody takes."""
    said = asdict(price, filter=lambda field, value: value is not None)
    return {name: value for name, value in said.items() if value or name not in EXTRAS}


def _openai_page(data: Sequence[dict[str, Any]], shown: Sequence[Offer], more: bool) -> dict[str, Any]:
    return {"object": "list", "data": data}


def _anthropic(offer: Offer, started: int) -> dict[str, Any]:
    when = datetime.fromtimestamp(offer.since or started, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "type": "model",
        "id": offer.id,
        "display_name": offer.id,
        "created_at": when,
        "max_input_tokens": offer.card.window,
        "max_tokens": offer.card.max_output,
    }


def _anthropic_page(data: Sequence[dict[str, Any]], shown: Sequence[Offer], more: bool) -> dict[str, Any]:
    first, last = (shown[0].id, shown[-1].id) if shown else (None, None)
    return {"data": data, "has_more": more, "first_id": first, "last_id": last}


def _gemini(offer: Offer, started: int) -> dict[str, Any]:
    ops: Sequence[Op] = ("chat", "count") if offer.ops is None else sorted(offer.ops)
    return _known(
        name=f"models/{offer.id}",
        displayName=offer.id,
        inputTokenLimit=offer.card.window,
        outputTokenLimit=offer.card.max_output,
        supportedGenerationMethods=[method for op in ops for method in METHODS.get(op, ())],
    )


def _gemini_page(data: Sequence[dict[str, Any]], shown: Sequence[Offer], more: bool) -> dict[str, Any]:
    return {"models": data} | ({"nextPageToken": shown[-1].id} if more else {})


def _known(**values: Any) -> dict[str, Any]:
    """What is not known is left out."""
    return {name: value for name, value in values.items() if value is not None}


OPENAI = Shape(dialect="openai.chat", one=_openai, page=_openai_page)
ANTHROPIC = Shape(
    dialect="anthropic.messages",
    one=_anthropic,
    page=_anthropic_page,
    limit="limit",
    after="after_id",
    before="before_id",
)
GEMINI = Shape(dialect="gemini.generate", one=_gemini, page=_gemini_page, limit="pageSize", after="pageToken")
