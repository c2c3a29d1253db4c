from __future__ import annotations

from typing import Any

import pytest
from llmrouter_provider_openrouter import build
from llmrouter_provider_openrouter.config import OpenRouterSettings
from llmrouter_provider_openrouter.quota import read_allowance

from llmrouter.errors import LLMRouterError
from llmrouter.provider import AccountSettings, MockTransport, Request, Response, Secret
from llmrouter.testing import run
from llmrouter.testing.context import START, FakeContext
from llmrouter.types import Allowance, Sighting

MIDNIGHT = 1_000_080_000.0  # the end of START's day, UTC
KEY: dict[str, Any] = {
    "label": "sk-or-v1-…",
    "limit": 20.0,
    "limit_remaining": 4.5,
    "limit_reset": "monthly",
    "include_byok_in_limit": False,
    "free_model_daily_requests": {"limit": 50, "used": 50, "remaining": 0},
    "budgets": [
        {
            "scope": "workspace",
            "limit_usd": 10,
            "spend_usd": 11,
            "remaining_usd": -1,
            "reset_interval": "daily",
            "resets_at": "2001-09-10T00:00:00Z",
            "include_byok": True,
        }
    ],
}
FREE = Sighting(
    scope="account_model",
    models="*:free",
    unit="requests",
    window="day",
    limit=50,
    remaining=0,
    resets_at=MIDNIGHT,
)
BUDGET = Sighting(scope="account", unit="usd", window="day", limit=10, remaining=0, resets_at=MIDNIGHT)
LIMIT = Sighting(scope="account", unit="usd", window="month", limit=20, remaining=4.5)


def allowance(key: Any = KEY, credit: Any = None, own_keys: bool = False) -> Allowance:
    return read_allowance({"data": key}, credit and {"data": credit}, own_keys, START)


def test_with_credits_all_that_limits_the_key_counts() -> None:
    found = allowance(credit={"total_credits": 25.0, "total_usage": 12.5})
    assert found == Allowance(sightings=(FREE, BUDGET, LIMIT), balance=12.5)


def test_with_keys_of_ones_own_only_limits_that_include_their_calls_count() -> None:
    found = allowance(credit={"total_credits": 1.0, "total_usage": 2.0}, own_keys=True)
    assert found == Allowance(sightings=(FREE, BUDGET))
    assert LIMIT in allowance(KEY | {"include_byok_in_limit": True}, own_keys=True).sightings


def test_a_limit_that_never_resets_is_a_balance() -> None:
    key = {"limit": 20, "limit_remaining": 3, "limit_reset": None}
    assert allowance(key) == Allowance(balance=3.0)
    assert allowance(key, {"total_credits": 25.0, "total_usage": 24.0}).balance == 1.0
    assert allowance(key, {"total_credits": 25.0, "total_usage": 12.0}).balance == 3.0


def test_a_key_without_limits_says_nothing() -> None:
    assert allowance({"limit": None, "limit_remaining": None, "usage": 5.0, "is_free_tier": False}) == Allowance()


@pytest.mark.parametrize(
    "key",
    [
        None,
        [],
        {"free_model_daily_requests": [], "budgets": {}},
        {"free_model_daily_requests": {"remaining": None}, "budgets": [None, {}, {"remaining_usd": "much"}]},
        {"budgets": [{"remaining_usd": 1, "reset_interval": "never"}], "limit_remaining": True},
    ],
)
def test_what_cannot_be_read_says_nothing(key: Any) -> None:
    assert allowance(key) == Allowance()
    assert read_allowance(key, key, False, START) == Allowance()


# --- asking


def asked(answers: dict[str, Any], seen: list[str] | None = None, mode: Any = "credits") -> Allowance:
    def respond(request: Request) -> Response:
        path = request.url.path.removeprefix("/api/v1")
        if seen is not None:
            seen.append(path)
        return answers[path] if isinstance(answers[path], Response) else Response(200, json=answers[path])

    accounts = (AccountSettings(id="or", api_key=Secret("sk-or-topsecret-0123456789")),)
    config = OpenRouterSettings(name="or", plugin="openrouter", accounts=accounts, mode=mode)
    context = FakeContext("or", transport=MockTransport(respond), clock=lambda: START)
    return run(build(config, context).quota("or"))


def test_the_key_and_the_balance_are_asked_for() -> None:
    credit = {"data": {"total_credits": 10, "total_usage": 4}}
    assert asked({"/key": {"data": {}}, "/credits": credit}) == Allowance(balance=6.0)


def test_a_key_that_may_not_see_the_balance_still_tells_its_limits() -> None:
    refused = Response(403, json={"error": {"code": 403, "message": "Only management keys"}})
    found = asked({"/key": {"data": KEY}, "/credits": refused})
    assert found == Allowance(sightings=(FREE, BUDGET, LIMIT))


def test_with_keys_of_ones_own_nobody_asks_for_the_balance() -> None:
    seen: list[str] = []
    asked({"/key": {"data": KEY}}, seen, "byok")
    assert seen == ["/key"]


def test_a_refusal_is_told() -> None:
    refused = Response(401, json={"error": {"code": 401, "message": "User not found."}})
    with pytest.raises(LLMRouterError, match="User not found"):
        asked({"/key": refused})
