"""Five accounts of Gemini behind one name: what is used up is left alone, the others share evenly."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from llmrouter.testing.upstream import Received, Upstream
from llmrouter.testing.upstream_gemini import Generate
from llmrouter.testing.upstream_line import Script
from llmrouter.testing.upstream_scripts import JSON, answer, chosen
from tests.harness import serving

DAY = "GenerateRequestsPerDayPerProjectPerModel-FreeTier"
MINUTE = "GenerateRequestsPerMinutePerProjectPerModel-FreeTier"


def used_up(quota: str, delay: str, value: str = "250") -> dict[str, Any]:
    """A refusal as Google words it."""
    base = "type.googleapis.com/google.rpc."
    metric = "generativelanguage.googleapis.com/generate_content_free_tier_requests"
    violation = {"quotaMetric": metric, "quotaId": quota, "quotaValue": value}
    details = [
        {"@type": f"{base}QuotaFailure", "violations": [violation]},
        {"@type": f"{base}RetryInfo", "retryDelay": delay},
    ]
    error = {"code": 429, "message": "You exceeded your quota.", "status": "RESOURCE_EXHAUSTED", "details": details}
    return {"error": error}


def account_of(request: Received) -> str:
    return request.headers["x-goog-api-key"].removeprefix("key-of-")


def refusing(**bodies: Mapping[str, Any]) -> Script:
    """Refuses some accounts, and serves all others."""
    scripts = {name: answer(429, JSON, body) for name, body in bodies.items()}
    good = Generate().answer()
    return chosen(lambda request: scripts.get(account_of(request), good))


def config(address: str, **entry: Any) -> str:
    accounts = [{"id": f"a{n}", "api_key": f"key-of-a{n}", "quota_group": f"project-{n}"} for n in range(1, 6)]
    google = {
        "plugin": "gemini",
        "base_url": address,
        "select": "round_robin",
        "accounts": accounts,
        "models": {"m": {}},
    }
    providers = {"google": google | entry | {"terms": {"multi_account": "allowed"}}}
    return json.dumps({"providers": providers, "logging": {"level": "error"}})


def test_the_one_that_is_used_up_is_left_alone_and_the_others_share_evenly() -> None:
    with Upstream(refusing(a3=used_up(DAY, "26s"))) as upstream, serving(config(upstream.base_url)) as router:
        served = Counter(router.chat("google/m").headers["x-llmrouter-account"] for _ in range(1000))
        assert set(served) == {"a1", "a2", "a4", "a5"}
        assert all(abs(count - 250) <= 1 for count in served.values()), served
        assert Counter(map(account_of, upstream.requests))["a3"] == 1, "asked once, and not again today"


def test_when_all_are_used_up_the_client_is_told_the_earliest_end() -> None:
    bodies = {f"a{n}": used_up(DAY, "26s") for n in (1, 2, 4, 5)} | {"a3": used_up(MINUTE, "34.4s")}
    with Upstream(refusing(**bodies)) as upstream, serving(config(upstream.base_url)) as router:
        got = router.chat("google/m")
        assert got.status == 429
        assert 33 <= int(got.headers["retry-after"]) <= 35
        assert got.error["code"] == "rate_limit_exceeded"
        calls = len(upstream.requests)
        again = router.post("/v1beta/models/google/m:generateContent", Generate().asks("m", False))
        assert (again.status, again.error["status"]) == (429, "RESOURCE_EXHAUSTED")
        delay = next(one for one in again.error["details"] if "retryDelay" in one)
        assert 32 <= float(delay["retryDelay"].removesuffix("s")) <= 35
        assert len(upstream.requests) == calls, "nobody is asked before the earliest end"


def test_a_day_that_is_used_up_everywhere_ends_at_midnight_in_california() -> None:
    bodies = {f"a{n}": used_up(DAY, "26s") for n in range(1, 6)}
    with Upstream(refusing(**bodies)) as upstream, serving(config(upstream.base_url)) as router:
        wait = int(router.chat("google/m").headers["retry-after"])
    now = datetime.fromtimestamp(time.time(), ZoneInfo("America/Los_Angeles"))
    seconds = now.hour * 3600 + now.minute * 60 + now.second
    assert wait == pytest.approx(86_400 - seconds, abs=3700)  # a night on which clocks change is an hour off


def test_the_preset_of_the_free_tier_is_kept_and_corrected_by_a_refusal() -> None:
    refusals = refusing(a1=used_up(DAY, "26s", "20"))
    minute = time.time() // 60 * 60 - time.monotonic()
    with (
        Upstream(refusals) as upstream,
        serving(
            config(upstream.base_url, limits="free_tier", select="most_headroom"),
            clock=lambda: minute + time.monotonic(),  # it begins now, and is not over before all have asked
        ) as router,
    ):
        limits = router.router.settings.providers["google"].limits
        assert [(one.unit, one.amount, one.window) for one in limits] == [
            ("requests", 10.0, "minute"),
            ("requests", 250.0, "day America/Los_Angeles"),
            ("input_tokens", 250000.0, "minute"),
        ]
        served = Counter(router.chat("google/m").headers.get("x-llmrouter-account", "none") for _ in range(50))
        assert served == {"a2": 10, "a3": 10, "a4": 10, "a5": 10, "none": 10}, "ten a minute of four projects"


def test_accounts_of_one_project_share_its_quota() -> None:
    shared = [{"id": f"a{n}", "api_key": f"key-of-a{n}", "quota_group": "project"} for n in (1, 2)]
    with (
        Upstream(refusing(a1=used_up(DAY, "26s"))) as upstream,
        serving(config(upstream.base_url, accounts=shared)) as router,
    ):
        assert [router.chat("google/m").status for _ in range(3)] == [429] * 3
        assert len(upstream.requests) == 1, "the other key has the same limits"
