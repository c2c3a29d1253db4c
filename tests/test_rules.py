"""An operator's word on what a failure means."""

from __future__ import annotations

from typing import Any

import pytest

from llmrouter.config import load
from llmrouter.engine.rules import judging
from llmrouter.errors import ConfigError
from llmrouter.settings import EngineSettings, MatchSettings, RuleSettings
from llmrouter.testing import run
from llmrouter.types import Attempt, Failure, Verdict
from tests.configs import some_plugins
from tests.house import Answer, House, Upstream, chunk, error, plain, streamed


def settings(
    kind: Any, *, then: Any = None, hold: float | None = None, scope: Any = None, **match: Any
) -> EngineSettings:
    rule = RuleSettings(match=MatchSettings(**match), kind=kind, then=then, hold=hold, scope=scope)
    return EngineSettings(rules=(rule,))


def failure(house: House) -> Failure:
    step = house.record.steps[0]
    assert isinstance(step, Attempt)
    assert step.failure
    return step.failure


@pytest.mark.parametrize(
    "match",
    [
        {"status": (400,)},
        {"body": "upstream s.id"},
        {"provider": "a"},
        {"provider": "a", "status": (400, 500), "body": "400"},
    ],
)
def test_a_rule_goes_ahead_of_what_the_provider_says(match: dict[str, Any]) -> None:
    async def main() -> None:
        house = House(
            {"a/m": Upstream([error(400)]), "b/m": Upstream([Answer(plain("ok"))])},
            settings=settings("server_error", **match),
        )
        assert (await house.ask()).text == "ok"
        assert failure(house).kind == "server_error"
        assert (failure(house).scope, failure(house).status, failure(house).by) == ("endpoint", 400, "rule 1")

    run(main())


@pytest.mark.parametrize("match", [{"status": (401,)}, {"body": "nothing"}, {"provider": "b"}, {"code": ("busy",)}])
def test_a_rule_that_does_not_match_changes_nothing(match: dict[str, Any]) -> None:
    async def main() -> None:
        house = House({"a/m": Upstream([error(400)])}, settings=settings("server_error", **match))
        assert (await house.ask()).status == 400
        assert failure(house).kind == "invalid_request"
        assert failure(house).by == ""

    run(main())


def test_a_rule_reads_errors_inside_a_stream_too() -> None:
    async def main() -> None:
        inside = [b'data: {"error": {"message": "the plan is used up"}}\n\n']
        house = House(
            {"a/m": Upstream([Answer(inside)]), "b/m": Upstream([Answer(streamed("ok"))])},
            settings=settings("quota_exhausted", body="plan is used", hold=120.0),
        )
        assert (await house.ask(stream=True)).text == "ok"
        assert failure(house).kind == "quota_exhausted"
        [held] = house.engine.health.snapshot()
        assert held["until"] - house.engine.clock() == pytest.approx(120.0)

    run(main())


def test_a_rule_says_what_comes_next_and_how_long_a_hold_lasts() -> None:
    async def main() -> None:
        upstreams = {"a/m": Upstream([error(500)]), "b/m": Upstream([Answer(plain("never"))])}
        stopped = House(upstreams, settings=settings("server_error", status=(500,), then="stop"))
        assert (await stopped.ask()).status == 502
        assert not stopped.upstreams["b"].calls
        free = House({"a/m": Upstream([error(401)])}, settings=settings("auth", status=(401,), hold=0.0))
        await free.ask()
        assert free.engine.health.snapshot() == []

    run(main())


def test_a_good_answer_is_no_business_of_rules() -> None:
    rules = settings("server_error", body="").rules

    def judge(status: int, headers: Any, body: bytes) -> Verdict:
        return Verdict(None)

    assert judging(rules, "a", judge)(200, {}, b"").failure is None
    assert judging((), "a", judge) is judge
    assert judging(settings("auth", provider="b").rules, "a", judge) is judge


def test_what_follows_a_content_filter_is_the_operators_choice() -> None:
    async def main() -> None:
        rule = settings("content_filter", status=(400,)).rules
        for choice, served in (("stop", 400), ("failover", 200)):
            chosen: Any = choice
            house = House(
                {"a/m": Upstream([error(400)]), "b/m": Upstream([Answer(plain("ok"))])},
                settings=EngineSettings(rules=rule, on_content_filter=chosen),
            )
            assert (await house.ask()).status == served

    run(main())


def test_who_classified_a_failure_is_in_the_record() -> None:
    async def main() -> None:
        house = House({"a/m": Upstream([Answer([chunk("a")])]), "b/m": Upstream([Answer([100.0])])})
        await house.ask()
        bys = [step.failure.by for step in house.record.steps if isinstance(step, Attempt) and step.failure]
        assert bys == ["answer", "clock"]

    run(main())


BASE = "providers: {a: {plugin: acme}}\nengine: {rules: [%s]}\n"


@pytest.mark.parametrize(
    ("rule", "wrong"),
    [
        ("{match: {body: '('}, class: auth}", "no regular expression"),
        ("{match: {provider: b}, class: auth}", "is not configured"),
        ("{match: {}, class: auth}", "match"),
        ("{match: {status: [500]}, class: bad}", "class"),
        ("{match: {status: [500]}}", "class"),
        ("{match: {statuses: [500]}, class: auth}", "statuses"),
    ],
)
def test_a_rule_that_cannot_be_meant_is_an_error(tmp_path: Any, rule: str, wrong: str) -> None:
    (tmp_path / "llmrouter.yaml").write_text(BASE % rule)
    with pytest.raises(ConfigError) as told:
        load(tmp_path / "llmrouter.yaml", {}, plugins=some_plugins())
    assert wrong in str(told.value)


def test_a_rule_is_read_from_the_configuration(tmp_path: Any) -> None:
    rule = "{match: {provider: a, status: [429], body: daily}, class: quota_exhausted, hold: 1h, then: next}"
    (tmp_path / "llmrouter.yaml").write_text(BASE % rule)
    [read] = load(tmp_path / "llmrouter.yaml", {}, plugins=some_plugins()).settings.engine.rules
    assert read == RuleSettings(
        match=MatchSettings(provider="a", status=(429,), body="daily"),
        kind="quota_exhausted",
        hold=3600.0,
        then="next",
    )
