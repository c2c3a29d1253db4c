"""The machinery of live tests, against loopback: what is recorded replays, and no secret is in it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from attrs import evolve

from llmrouter.testing.scrubbing import LISTED, Leak, Scrubber, shortened
from llmrouter.testing.upstream import Received, Upstream
from llmrouter.testing.upstream_line import Line, Script
from llmrouter.testing.upstream_openai import Chat, Embeddings, error
from llmrouter.testing.upstream_rerank import Rerank
from llmrouter.testing.upstream_scripts import JSON, answer, chosen
from llmrouter.types import Op

from .exams import SMALL, Refused
from .recording import mode, sit
from .vendors import EXAMS, WRONG, Vendor, vendors

KEY = "sesame-0123456789/abc+def"
PLANTED = {
    "key": KEY,
    "cookie": "session=c00kie-of-somebody",
    "organisation": "org-Ab12Cd34Ef56",
    "account": "acct_77Ab12Cd34Ef",
    "person": "user-9f8e7d6c5b4a",
    "mail": "somebody.private@corp.example",
    "name": "The Private Organisation Ltd",
}
MODELS: Mapping[Op, str] = {"chat": "small", "embed": "vectors", "rerank": "ranks"}


def vendor(upstream: Upstream) -> Vendor:
    entry = {"plugin": "openai", "profile": "custom", "base_url": upstream.base_url}
    return Vendor(name="fake", entry=entry, env="FAKE_API_KEY", models=MODELS, key=KEY)


def honest(request: Received) -> Script:
    """Answers every exam as it should be answered."""
    if request.headers["authorization"] == f"Bearer {WRONG}":
        return answer(401, JSON, error(f"Incorrect API key provided: {WRONG}", "auth", "invalid_api_key"))
    if request.path.endswith("/models"):
        return answer(200, JSON, {"data": [{"id": f"m{number}"} for number in range(100)]})
    if request.path.endswith("/embeddings"):
        return answer(200, JSON, _vectors(request))
    if request.path.endswith("/rerank"):
        return Rerank().answer()
    tools = [("call_1", "weather", '{"city": "Oslo"}')] if request.json.get("tools") else []
    return Chat("pong pong", tools).answer()


def _vectors(request: Received) -> dict[str, Any]:
    whole = Embeddings().whole(request)
    return whole | {"data": [one | {"embedding": [0.5] * 9} for one in whole["data"]]}


def talkative(request: Received) -> Script:
    """Answers well, and tells everything about its customer, in headers and bodies."""
    told = {
        "set-cookie": PLANTED["cookie"],
        "openai-organization": PLANTED["organisation"],
        "x-ratelimit-remaining-requests": "7",
        "x-account": PLANTED["account"],
        "retry-after": PLANTED["key"],
    }

    async def script(line: Line) -> None:
        whole: dict[str, Any] = Chat("pong").whole(request)
        whole["system_fingerprint"] = f"{PLANTED['account']} {PLANTED['mail']} {KEY}"
        whole |= {"organization_name": PLANTED["name"], "user": PLANTED["person"]}
        await answer(200, {**JSON, **told}, whole)(line)

    return script


def test_every_exam_is_held_live_recorded_and_replayed(tmp_path: Path) -> None:
    with Upstream(chosen(honest)) as upstream:
        one = vendor(upstream)
        exams = one.exams
        for exam in exams:
            sit(one, exam, "live")
            sit(one, exam, "record", tmp_path)
        upstream.refuse()
        asked = len(upstream.requests)
        for exam in exams:
            sit(evolve(one, key="another-key-or-none"), exam, "replay", tmp_path)
        assert len(upstream.requests) == asked == 2 * len(exams)
    assert set(exams) == {exam for op in MODELS for exam in EXAMS[op]} | {"models", "bad_key"}
    assert {path.stem for path in tmp_path.iterdir()} == set(exams)
    assert len(yaml.safe_load((tmp_path / "models.yaml").read_text())["interactions"]) == 1


def test_a_replay_of_another_request_is_refused(tmp_path: Path) -> None:
    with Upstream(chosen(honest)) as upstream:
        one = vendor(upstream)
        sit(one, "chat", "record", tmp_path)
        sit(one, "chat", "record", tmp_path)
        assert len(yaml.safe_load((tmp_path / "chat.yaml").read_text())["interactions"]) == 1, "recorded anew"
        with pytest.raises(Exception, match="the closest differ in body"):
            sit(evolve(one, models={**MODELS, "chat": "other"}), "chat", "replay", tmp_path)


def test_no_planted_secret_reaches_a_cassette(tmp_path: Path) -> None:
    with Upstream(chosen(talkative)) as upstream:
        sit(vendor(upstream), "chat", "record", tmp_path)
        assert KEY in upstream.requests[0].headers["authorization"], "the upstream saw it"
    text = (tmp_path / "chat.yaml").read_text("utf-8")
    assert {name for name, secret in PLANTED.items() if secret in text} == set()
    assert WRONG not in text
    (tape,) = yaml.safe_load(text)["interactions"]
    assert set(tape["request"]["headers"]) == {"content-type"}
    assert set(tape["response"]["headers"]) == {"content-type", "retry-after", "x-ratelimit-remaining-requests"}
    assert "pong" in tape["response"]["body"]["string"]


@pytest.mark.parametrize(
    "form",
    [
        KEY,
        "sesame-0123456789%2Fabc%2Bdef",
        "Basic c2VzYW1lLTAxMjM0NTY3ODkvYWJjK2Rl",
        PLANTED["mail"],
        PLANTED["person"],
        "Bearer abc.def-ghi",
        "sk-proj-0123456789abcdef",
        '{"account_id": "0b5e4a52"}',
        '{"organization":"Private"}',
    ],
)
def test_a_secret_is_replaced_in_all_its_forms(form: str) -> None:
    scrubbed = Scrubber([KEY]).text(f"before {form} after")
    assert form not in scrubbed
    assert scrubbed.startswith("before ")
    assert scrubbed.endswith(" after")
    assert Scrubber([KEY]).text(scrubbed) == scrubbed, "a replay is scrubbed as well, and must fit"


@pytest.mark.parametrize(
    "text", ['{"model":"a/b-1","role":"user","content":"What does Oslo cost?"}', "data: [DONE]", "x@y", "task-12"]
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert Scrubber([KEY]).text(text) == text


def test_a_cassette_with_a_secret_is_deleted(tmp_path: Path) -> None:
    cassette = tmp_path / "x.yaml"
    cassette.write_text(f"a: {KEY}")
    with pytest.raises(Leak, match=r"x\.yaml held a secret"):
        Scrubber([KEY]).check(cassette)
    assert not cassette.exists()


def test_a_list_of_models_is_cut_and_nothing_else_is() -> None:
    entries = list(range(LISTED + 5))
    assert json.loads(shortened(json.dumps(entries))) == entries[:LISTED]
    assert json.loads(shortened(json.dumps({"data": entries}))) == {"data": entries[:LISTED]}
    for text in ('{"data": [1,  2]}', "[1]", "data: {}", '"x"'):
        assert shortened(text) == text


def test_an_exam_that_is_failed_is_seen(tmp_path: Path) -> None:
    def failing(exam: str, script: Script) -> pytest.ExceptionInfo[BaseException]:
        with (
            Upstream(script) as upstream,
            pytest.raises((AssertionError, Refused, pytest.fail.Exception)) as caught,
        ):
            sit(vendor(upstream), exam, "live")
        return caught

    cases: dict[str, Script] = {
        "chat": Chat("no").answer(),
        "stream": Chat("no").answer(),
        "tool": Chat("sunny").answer(),
        "embeddings": answer(200, JSON, {"data": [{"index": 0, "embedding": [1.0]}]}),
        "rerank": answer(200, JSON, {"results": [{"index": 0, "relevance_score": 0.5}]}),
        "models": answer(200, JSON, {"data": []}),
        "bad_key": Chat("pong").answer(),
    }
    for exam, script in cases.items():
        failing(exam, script)
    assert "429 rate_limited" in str(failing("chat", Chat().refuse(429)).value)


def test_the_environment_says_whether_to_record(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LLMROUTER_RECORD", raising=False)
    assert mode() == "live"
    monkeypatch.setenv("LLMROUTER_RECORD", "1")
    assert mode() == "record"


def test_the_table_names_variables_that_are_known_and_models_that_can_be_asked() -> None:
    example = (Path(__file__).parents[2] / ".env.example").read_text("utf-8")
    installed = [one for one in vendors() if one.is_installed]
    assert len(installed) > 10
    for one in installed:
        assert f"{one.env}=" in example
        assert one.models
        for op in one.models:
            assert op in one.spoken(op).ops
            one.spoken(op).encode(op, SMALL[op])
