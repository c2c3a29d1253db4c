"""The list of models over a real socket, as the clients of three vendors ask for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import pytest

from llmrouter.catalogue.offers import Offer
from llmrouter.dialects import builtin
from llmrouter.settings import ClientKeySettings, ServerSettings, Settings
from llmrouter.types import Card, Price, Tier

from .serving import FakeRouter, FakeWorld, Got
from .test_server_app import ask, get

AT = 1_700_000_000.0
FULL = Card(
    abilities=frozenset({"vision", "tools"}),
    window=200_000,
    max_output=64_000,
    price=Price(input=1.0, output=5.0, cache_read=0.1),
)
OFFERS = [
    Offer(id="fast", owner="llmrouter", card=Card()),
    Offer(id="p/author/new:free", owner="p", card=FULL, since=AT),
    Offer(id="p/vectors", owner="p", card=Card(), ops=frozenset({"embed"})),
]
VERSION = {"anthropic_version": "2023-06-01"}
GOOGLE = {"x_goog_api_key": "k"}


def listing(*offers: Offer) -> FakeRouter:
    dialects = {dialect.name: dialect for dialect in builtin()}
    return FakeRouter(world=FakeWorld(dialects=dialects, listed=offers or OFFERS))


def many(count: int) -> FakeRouter:
    return listing(*(Offer(id=f"p/m{number}", owner="p", card=Card()) for number in range(count)))


def ids(got: Got) -> list[str]:
    return [one.get("id") or one["name"] for one in got.json.get("data") or got.json["models"]]


# --- OpenAI's


def test_openai_clients_get_what_is_known_beside_their_own_shape() -> None:
    got = get("/v1/models", listing()).json
    assert got["object"] == "list"
    assert got["data"] == [
        {"id": "fast", "object": "model", "created": 1_000_000_000, "owned_by": "llmrouter"},
        {
            "id": "p/author/new:free",
            "object": "model",
            "created": int(AT),
            "owned_by": "p",
            "context_window": 200_000,
            "max_output": 64_000,
            "price": {"input": 1.0, "output": 5.0, "cache_read": 0.1},
            "abilities": ["tools", "vision"],
        },
        {"id": "p/vectors", "object": "model", "created": 1_000_000_000, "owned_by": "p"},
    ]


def test_a_price_is_told_with_its_tiers() -> None:
    tier = Tier(prompt=200_000, input=2.0, output=8.0)
    dear = Card(price=Price(input=1.0, output=0.0, request=0.01, tiers=(tier,)))
    got = get("/v1/models/p/m", listing(Offer(id="p/m", owner="p", card=dear))).json
    assert got["price"] == {
        "input": 1.0,
        "output": 0.0,
        "request": 0.01,
        "tiers": [{"prompt": 200_000, "input": 2.0, "output": 8.0}],
    }


def test_openai_clients_get_all_of_it_at_once() -> None:
    assert len(ids(get("/v1/models?limit=2", many(1500)))) == 1500


@pytest.mark.parametrize("id", ["p/author/new:free", quote("p/author/new:free", safe="")])
def test_a_model_may_have_slashes_in_its_id(id: str) -> None:
    assert get(f"/v1/models/{id}", listing()).json["id"] == "p/author/new:free"


def test_a_model_that_is_not_there_is_a_404() -> None:
    got = get("/v1/models/p/author", listing())
    assert (got.status, got.json["error"]["code"]) == (404, "model_not_found")


# --- Anthropic's


def test_anthropic_clients_get_models_in_their_own_shape() -> None:
    got = get("/v1/models", listing(), **VERSION).json
    assert (got["first_id"], got["last_id"], got["has_more"]) == ("fast", "p/vectors", False)
    assert got["data"][:2] == [
        {
            "type": "model",
            "id": "fast",
            "display_name": "fast",
            "created_at": "2001-09-09T01:46:40Z",
            "max_input_tokens": None,
            "max_tokens": None,
        },
        {
            "type": "model",
            "id": "p/author/new:free",
            "display_name": "p/author/new:free",
            "created_at": "2023-11-14T22:13:20Z",
            "max_input_tokens": 200_000,
            "max_tokens": 64_000,
        },
    ]
    one = get("/v1/models/p/author/new:free", listing(), **VERSION).json
    assert one == got["data"][1]


def test_an_empty_list_of_models_is_a_list() -> None:
    router = FakeRouter(world=FakeWorld(listed=()))
    got = get("/v1/models", router, **VERSION).json
    assert got == {"data": [], "has_more": False, "first_id": None, "last_id": None}


@pytest.mark.parametrize(
    ("query", "expected", "more"),
    [
        ("limit=2", ["p/m0", "p/m1"], True),
        ("limit=2&after_id=p/m1", ["p/m2", "p/m3"], True),
        ("limit=2&after_id=p/m2", ["p/m3", "p/m4"], False),
        ("limit=2&before_id=p/m4", ["p/m2", "p/m3"], True),
        ("limit=3&before_id=p/m2", ["p/m0", "p/m1"], False),
        ("after_id=p/m4", [], False),
    ],
)
def test_anthropic_clients_turn_pages_in_both_directions(query: str, expected: list[str], more: bool) -> None:
    got = get(f"/v1/models?{query}", many(5), **VERSION)
    assert (ids(got) if expected else got.json["data"], got.json["has_more"]) == (expected, more)


@pytest.mark.parametrize("query", ["limit=0", "limit=few", "limit=", "after_id=p/nobody", "before_id=p/nobody"])
def test_a_page_that_is_not_there_is_refused(query: str) -> None:
    got = get(f"/v1/models?{query}", many(5), **VERSION)
    assert got.status == (200 if query == "limit=" else 400)


def test_a_page_has_at_most_a_thousand() -> None:
    got = get("/v1/models?limit=5000", many(1200), **VERSION)
    assert (len(ids(got)), got.json["has_more"]) == (1000, True)


# --- Gemini's


@pytest.mark.parametrize(
    ("path", "headers"), [("/v1beta/models", {}), ("/v1beta/models", VERSION), ("/v1/models", GOOGLE)]
)
def test_gemini_clients_get_models_in_their_own_shape(path: str, headers: Mapping[str, Any]) -> None:
    got = get(path, listing(), **headers).json
    assert got == {
        "models": [
            {
                "name": "models/fast",
                "displayName": "fast",
                "supportedGenerationMethods": ["generateContent", "streamGenerateContent", "countTokens"],
            },
            {
                "name": "models/p/author/new:free",
                "displayName": "p/author/new:free",
                "inputTokenLimit": 200_000,
                "outputTokenLimit": 64_000,
                "supportedGenerationMethods": ["generateContent", "streamGenerateContent", "countTokens"],
            },
            {
                "name": "models/p/vectors",
                "displayName": "p/vectors",
                "supportedGenerationMethods": ["embedContent", "batchEmbedContents"],
            },
        ]
    }
    assert get(f"{path}/p/vectors", listing(), **headers).json == got["models"][2]


def test_gemini_clients_turn_pages_by_a_token() -> None:
    seen, token = [], ""
    for _ in range(3):
        got = get(f"/v1beta/models?pageSize=2{token}", many(5))
        seen += ids(got)
        token = f"&pageToken={quote(got.json.get('nextPageToken', ''))}"
    assert seen == [f"models/p/m{number}" for number in range(5)]
    assert "nextPageToken" not in got.json


# --- who may ask


def test_a_wrong_key_is_refused_in_the_envelope_of_who_asks() -> None:
    router = listing()
    router.settings = Settings(
        server=ServerSettings(keys=(ClientKeySettings(name="dev", hash="sha256:" + "0" * 64),))
    )
    plain = get("/v1/models", router)
    missing, beta = ask(("GET", "/v1/models", b""), ("GET", "/v1beta/models/p", b""), router=router, **VERSION)
    assert (plain.status, plain.json["error"]["code"]) == (401, "invalid_api_key")
    assert (missing.status, missing.json["error"]["type"]) == (401, "authentication_error")
    assert (beta.status, beta.json["error"]["status"]) == (401, "UNAUTHENTICATED")


def test_the_operator_sees_what_is_known_of_every_model() -> None:
    assert get("/admin/models").json == {"models": [], "providers": []}
