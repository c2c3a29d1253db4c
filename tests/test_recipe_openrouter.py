"""The recipe of `docs/how-to/openrouter.md` does what it says: each provider is the other's fallback."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
import yaml
from attrs import define, frozen

from llmrouter.catalogue.prices import cost
from llmrouter.testing.upstream import Received, Upstream
from llmrouter.testing.upstream_line import Script
from llmrouter.testing.upstream_openai import Chat
from llmrouter.testing.upstream_scripts import JSON, answer, chosen
from llmrouter.types import Usage
from tests.harness import Serving, serving
from tests.pages.blocks import ROOT, blocks

PAGE = ROOT / "docs" / "how-to" / "openrouter.md"
(RECIPE, FREE) = (block.text for block in blocks(PAGE, "yaml"))
BILLED = 0.0123  # USD, by OpenRouter for one answer
MODELS = {"openrouter": "openai/gpt-5.4-mini", "openai": "gpt-5.4-mini"}
ORDERS = {"pooled": ("openrouter", "openai"), "direct": ("openai", "openrouter")}
RESET = "2100-01-01T00:00:00Z"


@frozen
class OpenRouter(Chat):
    """Says who served, and what it billed."""

    def whole(self, request: Received) -> dict[str, Any]:
        body = super().whole(request)
        return body | {"provider": "Azure", "usage": body["usage"] | {"cost": BILLED, "is_byok": False}}


SPEAKERS: Mapping[str, Chat] = {"openrouter": OpenRouter(text="pooled"), "openai": Chat(text="direct")}
REFUSALS: Mapping[str, Mapping[str, tuple[int, dict[str, Any]]]] = {
    "payment": {
        "openrouter": (402, {"code": 402, "message": "Insufficient credits"}),
        "openai": (402, {"code": "billing_not_active", "message": "Your account is not active"}),
    },
    "budget": {
        "openrouter": (403, {"code": 403, "message": "The budget is used up", "metadata": {"resets_at": RESET}}),
        "openai": (403, {"code": "billing_hard_limit_reached", "message": "Billing hard limit reached"}),
    },
    "overload": {
        "openrouter": (
            503,
            {"code": 503, "message": "No instances", "metadata": {"error_type": "provider_overloaded"}},
        ),
        "openai": (503, {"code": "slow_down", "message": "Slow down"}),
    },
}


@define(eq=False)
class Stage:
    """A router with the recipe's configuration, and both of its upstreams."""

    router: Serving
    upstreams: Mapping[str, Upstream]

    def calls(self, provider: str) -> list[Received]:
        return [one for one in self.upstreams[provider].requests if one.method == "POST"]

    def looked(self) -> None:
        """Wait until the router knows what is left: it holds something then."""
        assert any(self.router.get("/admin/status").json["holds"] for _ in range(1000))

    def last(self) -> dict[str, Any]:
        """The latest request as it was recorded."""
        record: dict[str, Any] = self.router.get("/admin/requests?limit=1").json["requests"][0]
        return record

    def expected(self, provider: str) -> float | None:
        """What one answer costs: as billed, or the vendor's price of its tokens."""
        if provider == "openrouter":
            return BILLED
        price = self.router.router.world.endpoints["openai/gpt-5.4-mini"].card.price
        assert price is not None
        return cost(price, Usage(input=9, output=16))


def speaking(provider: str, balance: float, refused: tuple[int, dict[str, Any]] | None = None) -> Script:
    """Answers chats, or refuses them; and says what is left, where that is asked."""
    looks = {"/credits": {"total_credits": balance, "total_usage": 0.0}, "/key": {}, "/models": []}

    def choose(request: Received) -> Script:
        if request.method == "GET":
            return answer(200, JSON, {"data": looks["/" + request.path.rpartition("/")[2]]})
        if refused:
            return answer(refused[0], JSON, {"error": refused[1]})
        return SPEAKERS[provider].answer()

    return chosen(choose)


@contextmanager
def staged(config: str, scripts: Mapping[str, Script]) -> Iterator[Stage]:
    with Upstream(scripts["openrouter"]) as pooled, Upstream(scripts["openai"]) as direct:
        upstreams = {"openrouter": pooled, "openai": direct}
        said = yaml.safe_load(config)
        for name, entry in said["providers"].items():
            entry["base_url"] = upstreams[name].base_url
        said["logging"] = {"level": "error"}
        environ = {"OPENROUTER_API_KEY": "sk-or-x", "OPENAI_API_KEY": "sk-x"}
        with serving(yaml.safe_dump(said), environ) as router:
            yield Stage(router, upstreams)


def scripts(first: str = "", why: str = "", balance: float = 10.0) -> Mapping[str, Script]:
    """Both in good health, but for why the first one is not."""
    refused = {first: REFUSALS[why][first]} if why in REFUSALS else {}
    return {name: speaking(name, balance, refused.get(name)) for name in MODELS}


@pytest.mark.parametrize("group", ORDERS)
def test_in_good_health_the_first_serves(group: str) -> None:
    first, second = ORDERS[group]
    with staged(RECIPE, scripts()) as stage:
        got = stage.router.chat(group)
        assert (got.text, got.headers["x-llmrouter-provider"]) == (SPEAKERS[first].text, first)
        assert stage.calls(first)[0].json["model"] == MODELS[first]
        assert not stage.calls(second)
        assert stage.last()["cost"] == pytest.approx(stage.expected(first))


@pytest.mark.parametrize("why", [*REFUSALS, "outage"])
@pytest.mark.parametrize("group", ORDERS)
def test_what_the_first_cannot_the_second_does_and_each_call_is_booked_where_it_was_made(
    group: str, why: str
) -> None:
    first, second = ORDERS[group]
    with staged(RECIPE, scripts(first, why)) as stage:
        if why == "outage":
            stage.upstreams[first].refuse()
        got = stage.router.chat(group)
        assert got.status == 200, got.body
        assert (got.text, got.headers["x-llmrouter-provider"]) == (SPEAKERS[second].text, second)
        assert stage.calls(second)[0].json["model"] == MODELS[second]
        record = stage.last()
        *failed, served = [step for step in record["steps"] if step["type"] == "Attempt"]
        assert failed
        assert {one["endpoint"] for one in failed} == {f"{first}/{MODELS[first]}"}
        assert all(one["failure"] and one["cost"] == 0.0 for one in failed)
        assert served["endpoint"] == f"{second}/{MODELS[second]}"
        assert served["cost"] == pytest.approx(stage.expected(second))
        assert record["cost"] == pytest.approx(stage.expected(second))
        assert served.get("via", "") == ("Azure" if second == "openrouter" else "")


@pytest.mark.parametrize("why", ["payment", "budget"])
@pytest.mark.parametrize("group", ORDERS)
def test_who_has_nothing_left_is_not_asked_again(group: str, why: str) -> None:
    first, second = ORDERS[group]
    with staged(RECIPE, scripts(first, why, balance=0.0 if first == "openrouter" else 10.0)) as stage:
        for _ in range(3):
            assert stage.router.chat(group).headers["x-llmrouter-provider"] == second
        assert len(stage.calls(first)) <= 1
        assert len(stage.calls(second)) == 3


def test_openrouters_fields_reach_it_and_are_left_out_for_the_vendor() -> None:
    own: dict[str, Any] = {
        "provider": {"order": ["Azure"]},
        "reasoning": {"effort": "low"},
        "transforms": ["middle-out"],
    }
    with staged(RECIPE, scripts()) as stage:
        for group, (first, _) in ORDERS.items():
            got = stage.router.chat(group, **own)
            assert got.status == 200
            sent = stage.calls(first)[0].json
            assert {name: sent[name] for name in own if name in sent} == (own if first == "openrouter" else {})
            dropped = {*filter(None, got.headers.get("x-llmrouter-dropped", "").replace(",", " ").split())}
            assert dropped == (set() if first == "openrouter" else {*own})


def test_the_free_model_is_used_until_its_day_is_used_up() -> None:
    free = {"free_model_daily_requests": {"limit": 50, "used": 50, "remaining": 0}}

    def choose(request: Received) -> Script:
        if request.method == "GET":
            return answer(200, JSON, {"data": free if request.path.endswith("/key") else []})
        return SPEAKERS["openrouter"].answer()

    with staged(FREE, {"openrouter": chosen(choose), "openai": answer()}) as stage:
        stage.looked()
        assert stage.router.chat("thrifty").status == 200
        assert [one.json["model"] for one in stage.calls("openrouter")] == ["google/gemma-4-31b-it"]
