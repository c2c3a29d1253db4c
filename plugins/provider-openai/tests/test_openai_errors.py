"""What upstreams were seen to say, against what it is taken for."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from llmrouter_provider_openai import build
from llmrouter_provider_openai.config import OpenAISettings
from llmrouter_provider_openai.profile import names
from llmrouter_provider_openai.provider import OpenAIProvider

from llmrouter.provider import AccountSettings, Secret
from llmrouter.testing.context import START, FakeContext
from llmrouter.types import Failure

FOLDER = Path(__file__).parents[4] / "shared" / "data"
SIMILAR = {"llamacpp": "custom", "azure": "custom", "perplexity": "custom"}
"""Providers that have no profile and speak the same."""

SENSIBLE = {
    400: {"invalid_request", "context_length", "not_found", "auth", "server_error"},
    401: {"auth"},
    404: {"not_found"},
    429: {"rate_limited", "payment"},
    500: {"server_error"},
    501: {"invalid_request"},
}


def provider(profile: str) -> OpenAIProvider:
    account = AccountSettings(id="up", api_key=Secret("topsecret-0123456789"))
    config = OpenAISettings(
        name="up", plugin="openai", profile=profile, base_url="http://x.example", accounts=(account,)
    )
    return build(config, FakeContext("up"))


def judged(profile: str, status: int, headers: dict[str, str], body: bytes) -> Failure:
    failure = provider(profile).judge(status, headers, body).failure
    assert failure is not None
    return failure


@pytest.mark.parametrize(
    ("profile", "status", "error", "kind"),
    [
        ("openai", 400, {"code": "context_length_exceeded"}, "context_length"),
        ("openai", 400, {"code": "content_policy_violation"}, "content_filter"),
        ("openai", 403, {"code": "unsupported_country_region_territory"}, "forbidden_model"),
        ("openai", 403, {"message": "Your prompt exceeds the context window"}, "context_length"),
        ("openai", 413, {"message": "Payload too big"}, "invalid_request"),
        ("openai", 413, {"message": "Too many tokens"}, "context_length"),
        ("openai", 429, {"message": "The engine is currently overloaded"}, "overloaded"),
        ("openai", 429, {"message": "Rate limit reached on requests per day (RPD)"}, "quota_exhausted"),
        ("openai", 503, {"code": "slow_down"}, "overloaded"),
        ("openai", 503, {}, "server_error"),
        ("openai", 200, {"code": "rate_limit_exceeded"}, "rate_limited"),
        ("openai", 200, {"type": "invalid_request_error"}, "invalid_request"),
        ("openai", 200, {"message": "?"}, "server_error"),
        ("zai", 429, {"code": "1302"}, "rate_limited"),
        ("zai", 429, {"code": "1305"}, "overloaded"),
        ("zai", 200, {"code": "1113"}, "payment"),
        ("zai", 400, {"code": "1261"}, "context_length"),
        ("zai", 434, {}, "forbidden_model"),
        ("moonshot", 403, {"type": "permission_denied_error"}, "forbidden_model"),
        ("moonshot", 429, {"type": "rate_limit_reached_error", "message": "TPD"}, "quota_exhausted"),
        ("mistral", 429, {"code": "3505"}, "overloaded"),
        ("groq", 498, {"code": "capacity_exceeded"}, "overloaded"),
        ("groq", 400, {"code": "tool_use_failed"}, "server_error"),
        ("together", 403, {"message": "context length exceeded"}, "context_length"),
        ("together", 403, {"message": "no"}, "forbidden_model"),
        ("cerebras", 429, {"code": "request_quota_exceeded", "message": "Requests per day"}, "quota_exhausted"),
        ("vllm", 404, {"type": "NotFoundError"}, "not_found"),
        ("poe", 402, {"message": "insufficient points"}, "payment"),
        ("litellm", 400, {"type": "budget_exceeded"}, "payment"),
        ("custom", 400, {"message": "The model x does not exist"}, "not_found"),
    ],
)
def test_an_error_is_taken_for_what_it_is(profile: str, status: int, error: dict[str, str], kind: str) -> None:
    assert judged(profile, status, {}, json.dumps({"error": error}).encode()).kind == kind


def test_the_end_of_a_quota_is_read_in_the_zone_of_its_writer() -> None:
    # START is 2001-09-09T01:46:40Z; in Beijing the clocks say 09:46:40.
    body = b'{"error":{"code":"1308","message":"Usage limit reached. It will reset at 2001-09-09 10:46:40"}}'
    assert judged("zai", 429, {}, body).retry_at == START + 3600
    past = body.replace(b"10:46", b"08:46")
    assert judged("zai", 429, {"retry-after": "5"}, past).retry_at == START + 5


# --- recorded


def folder(name: str) -> Path:
    found = FOLDER / name
    if not found.exists():
        assert os.environ.get("LLMROUTER_REQUIRE_RECORDINGS") != "1", f"there is no {found}"
        pytest.skip("recorded traffic is not beside this checkout")
    return found


def profile_of(provider: str) -> str | None:
    name = SIMILAR.get(provider, provider)
    return name if name in names() else None


@pytest.mark.recordings
def test_errors_of_the_list_are_classified_as_it_says() -> None:
    listed = json.loads((folder("errors") / "dev.json").read_text("utf-8"))
    entries = next(value for value in listed.values() if isinstance(value, list))
    ours = [one for one in entries if profile_of(one["provider"])]
    assert len(ours) >= 10
    found = {
        one["id"]: judged(one["provider"], one["status"], one["headers"], json.dumps(one["body"]).encode()).kind
        for one in ours
    }
    assert found == {one["id"]: one["expect"]["class"] for one in ours}


def recorded() -> Iterator[tuple[str, dict[str, Any]]]:
    root = folder("cassettes")
    for file in json.loads((root / "manifest.json").read_text("utf-8"))["files"]:
        for number, seen in enumerate(file["interactions"]):
            profile = profile_of(seen["provider"])
            if profile and seen["status"] >= 400:
                cassette = json.loads((root / file["file"]).read_text("utf-8"))
                yield profile, cassette["interactions"][number]["response"]


@pytest.mark.recordings
def test_recorded_errors_are_of_a_sensible_class() -> None:
    count = 0
    for profile, response in recorded():
        status = response["status"]["code"]
        headers = {name.lower(): values[0] for name, values in response["headers"].items()}
        failure = judged(profile, status, headers, response["body"]["string"].encode())
        assert failure.kind in SENSIBLE[status], failure
        assert failure.message
        assert ("context" in failure.message and "tokens" in failure.message) == (failure.kind == "context_length")
        assert "model" in failure.message.lower() or status != 404 or profile == "custom", failure
        assert failure.kind == "auth" or "api key" not in failure.message.lower()
        count += 1
    assert count >= 50
