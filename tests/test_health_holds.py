"""Cool-downs, quarantines, and plugins that make mistakes."""

from __future__ import annotations

import pytest

from llmrouter.types import Account, Failure, Kind, Scope
from tests.ward import ELSEWHERE, ONE, OTHER_MODEL, TWO, A, Ward


def test_a_rate_limit_holds_the_quota_group_and_model_for_the_hint() -> None:
    ward = Ward()
    ward.fail("rate_limited", "account_model", retry_in=7)
    assert ward.held() == pytest.approx(7)
    shared = Account("9", ONE.group)
    assert ward.health.hold(A, shared)
    assert ward.held(OTHER_MODEL) is None
    assert ward.health.hold(A, TWO) is None
    ward.clock.now += 7.01
    assert ward.held() is None


def test_a_hint_is_taken_within_reason() -> None:
    ward = Ward()
    ward.fail("rate_limited", "account_model", retry_in=10**9)
    assert ward.held() == pytest.approx(86_400)
    other = Ward()
    other.fail("rate_limited", "account_model", retry_in=-5)
    assert other.held() == pytest.approx(0.1)


def test_limits_in_a_row_are_held_longer_up_to_a_minute() -> None:
    ward = Ward()
    longest = 0.0
    for _ in range(30):
        ward.fail("rate_limited", "account_model")
        held = ward.held() or 0.0
        assert 1.0 <= held <= 60.0
        longest = max(longest, held)
        ward.clock.now += held + 0.01
    assert longest > 20


@pytest.mark.parametrize(("kind", "scope"), [("rate_limited", "account_model"), ("server_error", "endpoint")])
def test_days_of_failures_in_a_row_are_held_as_hours_of_them_are(kind: Kind, scope: Scope) -> None:
    ward = Ward()
    for _ in range(1_200):
        ward.fail(kind, scope)
        ward.clock.now += 301
    assert (ward.held() or 0.0) <= 300


def test_a_herd_of_failures_is_one_failure() -> None:
    ward = Ward()
    tickets = [ward.begin() for _ in range(50)]
    for ticket in tickets:
        ticket.end(Failure(kind="rate_limited", scope="account_model"), None)
    assert ward.held() == pytest.approx(1.0)


def test_stragglers_of_a_herd_do_not_make_the_next_hold_longer() -> None:
    ward = Ward()
    tickets = [ward.begin() for _ in range(10)]
    for ticket in tickets:
        ticket.end(Failure(kind="rate_limited", scope="account_model"), None)
        assert ward.held() == pytest.approx(1.0)
        ward.clock.now += 1.5


def test_an_answer_halves_what_is_held_next() -> None:
    def longest(answers: int) -> float:
        found = 0.0
        for seed in range(40):
            ward = Ward(seed=seed)
            for _ in range(6):
                ward.fail("rate_limited", "account_model")
                ward.clock.now += 61
            ward.succeed(answers)
            ward.fail("rate_limited", "account_model")
            found = max(found, ward.held() or 0.0)
        return found

    assert 32 < longest(0) <= 60  # 1 s · 2⁶, at most a minute
    assert 4 < longest(1) <= 8  # 2³: five in a row were halved to two, and one more
    assert longest(9) <= 2


@pytest.mark.parametrize("kind", ["server_error", "rate_limited", "auth", "not_found"])
def test_an_operators_word_on_a_hold_wins(kind: Kind) -> None:
    ward = Ward()
    ward.begin().end(Failure(kind=kind, scope="endpoint", hold=77.0, retry_at=ward.clock.now + 5), None)
    assert ward.held() == pytest.approx(77)
    free = Ward()
    free.begin().end(Failure(kind=kind, scope="endpoint", hold=0.0, retry_at=free.clock.now + 5), None)
    assert free.held() is None


def faults(ward: Ward, times: int, by: str = "plugin") -> None:
    for _ in range(times):
        ward.begin().end(Failure(kind="internal", scope="endpoint", by=by), None)
        ward.clock.now += 10


def test_a_plugin_with_five_faults_in_a_minute_is_out(caplog: pytest.LogCaptureFixture) -> None:
    ward = Ward()
    faults(ward, 4)
    assert ward.held(OTHER_MODEL) is None
    faults(ward, 1)
    assert ward.held(OTHER_MODEL) == pytest.approx(290)
    assert ward.held(ELSEWHERE) is None
    assert "provider:a is held for 5 minutes: internal" in caplog.text


def test_rare_faults_of_a_plugin_are_borne_and_those_between_answers() -> None:
    ward = Ward()
    for _ in range(10):
        faults(ward, 4)
        ward.clock.now += 30
    for _ in range(10):
        faults(ward, 2)
        ward.succeed()
    assert ward.held() is None


def test_a_mistake_of_the_router_is_held_against_nobody() -> None:
    ward = Ward()
    faults(ward, 20, by="translation")
    assert ward.held() is None


@pytest.mark.parametrize(("kind", "least"), [("auth", 1_800), ("payment", 600), ("not_found", 3_600)])
def test_what_somebody_has_to_mend_does_not_mend_itself_by_a_hint(kind: Kind, least: float) -> None:
    ward = Ward()
    ward.fail(kind, "account", retry_in=2)
    assert ward.held() == pytest.approx(least)


@pytest.mark.parametrize("kind", ["auth", "payment"])
def test_who_has_to_mend_something_is_told_once(kind: Kind, caplog: pytest.LogCaptureFixture) -> None:
    ward = Ward()
    ward.fail(kind, "account", times=3)
    assert caplog.text.count("account:a/1 is held") == 1


def test_an_overload_is_never_held_longer_than_a_quick_recovery_takes() -> None:
    ward = Ward(None)
    for _ in range(20):
        ward.fail("overloaded")
        held = ward.held() or 0.0
        assert 5 <= held <= 15
        ward.clock.now += held + 0.01


def test_a_rejected_key_holds_the_account_everywhere() -> None:
    ward = Ward()
    ward.fail("auth", "account")
    assert ward.held() == pytest.approx(1_800)
    assert ward.held(OTHER_MODEL) == pytest.approx(1_800)
    assert ward.health.hold(A, TWO) is None


def test_of_several_holds_the_latest_counts() -> None:
    ward = Ward()
    ward.fail("auth", "account")
    ward.fail("rate_limited", "account_model", retry_in=5)
    hold = ward.health.hold(A, ONE)
    assert hold
    assert hold.reason == "auth"
    assert hold.until - ward.clock.now == pytest.approx(1_800)
