"""Endpoints, prices, and the demonstration that needs no account."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
from llmrouter_provider_echo import llmrouter_register_providers
from llmrouter_provider_echo.config import EchoSettings, endpoints

from llmrouter.settings import AccountSettings, ModelSettings
from llmrouter.types import Account, Price


def settings(**keys: Any) -> EchoSettings:
    return EchoSettings(name="echo", plugin="echo", **keys)


def test_without_models_there_are_those_of_the_data_file() -> None:
    found = {one.model: one for one in endpoints(settings())}
    assert set(found) == {"echo-small", "echo-large", "echo-embed"}
    assert found["echo-embed"].dialects == ("openai.embeddings",)
    assert found["echo-small"].card.window == 128_000
    assert found["echo-small"].card.price == Price(input=0.0, output=0.0)


def test_what_the_configuration_says_goes_before_what_is_known() -> None:
    own = ModelSettings(context_window=10, max_output=5, quality=0.0, abilities=frozenset({"tools"}))
    small, other = endpoints(
        settings(models={"echo-small": own, "other": ModelSettings()}, price=Price(input=1, output=2))
    )
    assert (small.card.window, small.card.max_output, small.card.quality) == (10, 5, 0.0)
    assert small.card.abilities == frozenset({"tools"})
    assert small.card.price == other.card.price == Price(input=1, output=2)
    assert other.dialects == ("openai.chat", "openai.completions", "openai.embeddings")
    assert other.card.window is None
    dear = ModelSettings(price=Price(input=9, output=9))
    assert endpoints(settings(models={"a": dear}, price=Price(input=1, output=2)))[0].card.price == dear.price


def test_accounts_share_a_group_only_when_told_to() -> None:
    accounts = (
        AccountSettings(id="a", quota_group="shared", weight=2.0),
        AccountSettings(id="b"),
        AccountSettings(id="off", enabled=False),
    )
    assert endpoints(settings(accounts=accounts))[0].accounts == (
        Account("a", "shared", 2.0),
        Account("b", "echo/b"),
    )
    assert endpoints(settings())[0].accounts == (Account("echo", "echo"),)


def test_the_demonstration_fits_together() -> None:
    (type_,) = llmrouter_register_providers()
    demo = type_.demo
    assert demo is not None
    ids = {f"{name}/{model}" for name, entry in demo["providers"].items() for model in entry["models"]}
    members = [
        one
        for tiers in demo["groups"].values()
        for tier in tiers
        for one in ([tier] if isinstance(tier, str) else tier)
    ]
    assert set(members) <= ids
    assert demo["routing"] == {"default": "default"}
    keys = {one.name for one in attrs.fields(EchoSettings)}
    for entry in demo["providers"].values():
        assert set(entry) <= keys
        assert entry["plugin"] == "echo"


@pytest.mark.parametrize("first", ["free"])
def test_the_demonstration_is_free_first_and_then_ever_dearer(first: str) -> None:
    (type_,) = llmrouter_register_providers()
    assert type_.demo is not None
    order = [tier[0].split("/")[0] for tier in type_.demo["groups"]["default"]]
    prices = [type_.demo["providers"][name]["price"]["output"] for name in order]
    assert prices == sorted(prices)
    assert (order[0], prices[0]) == (first, 0)
