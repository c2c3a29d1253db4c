from __future__ import annotations

import pytest

from llmrouter.engine.table import TABLE
from llmrouter.engine.ticket import Ticket
from llmrouter.types import Failure, Hold, Kind
from tests.ward import ELSEWHERE, ONE, OTHER_MODEL, TWO, A, Lock, Ward, endpoint

# ---- circuits


def test_five_failures_in_a_row_open_for_about_fifteen_seconds() -> None:
    ward = Ward()
    ward.fail(times=4)
    assert ward.held() is None
    ward.fail()
    assert 12.0 <= (ward.held() or 0) <= 18.0


def test_a_success_between_starts_the_row_again() -> None:
    ward = Ward()
    for _ in range(3):
        ward.fail(times=4)
        ward.succeed(times=9)
    assert ward.held() is None


def test_half_of_the_last_minute_failing_opens() -> None:
    ward = Ward()
    for _ in range(10):
        ward.fail()
        if not ward.held():
            ward.succeed()
    assert ward.held()


def test_failures_of_an_earlier_minute_do_not_count() -> None:
    ward = Ward()
    for _ in range(4):
        ward.fail(times=4)
        ward.succeed()
        ward.clock.now += 61
    assert ward.held() is None


@pytest.mark.parametrize("kind", ["connect", "timeout_headers", "timeout_ttft"])
def test_three_silences_in_a_row_are_enough(kind: Kind) -> None:
    ward = Ward()
    ward.fail(kind, times=3)
    assert ward.held()


def test_a_provider_that_cannot_be_reached_is_held_with_all_its_models() -> None:
    ward = Ward()
    ward.fail("connect", "provider", times=3)
    assert ward.held(OTHER_MODEL)
    assert ward.held(ELSEWHERE) is None


def test_a_failing_model_does_not_punish_the_others() -> None:
    ward = Ward().opened()
    assert ward.held(OTHER_MODEL) is None


@pytest.mark.parametrize("kind", [kind for kind, rule in TABLE.items() if not rule.breaker and not rule.hold])
def test_what_is_not_the_upstreams_fault_charges_nobody(kind: Kind) -> None:
    ward = Ward()
    ward.fail(kind, "request", times=50)
    assert ward.held() is None
    assert ward.health.snapshot() == []


def test_without_a_breaker_nothing_opens() -> None:
    ward = Ward(None)
    ward.fail(times=100)
    assert ward.held() is None


def test_half_open_lets_exactly_one_probe_through() -> None:
    ward = Ward().opened()
    ward.wait_until_half_open()
    assert ward.held() is None
    probe = ward.begin()
    assert ward.held()
    second = ward.begin()
    second.end(Failure(kind="cancelled", scope="request"), None)
    assert ward.held()
    probe.end(Failure(kind="cancelled", scope="request"), None)
    assert ward.held() is None


def test_a_failed_probe_opens_again_and_two_good_ones_close() -> None:
    ward = Ward().opened()
    ward.wait_until_half_open()
    ward.fail()
    assert ward.held()
    ward.wait_until_half_open()
    ward.succeed()
    assert ward.held() is None
    assert ward.health.snapshot()[0]["breaker"]["state"] == "half_open"
    ward.succeed()
    assert ward.health.snapshot()[0]["breaker"]["state"] == "ramp"


def test_a_late_success_from_before_the_opening_counts_as_a_probe() -> None:
    ward = Ward()
    early = [ward.begin(), ward.begin()]
    ward.opened()
    for ticket in early:
        ticket.end(None, 0.1)
    assert ward.held() is None


def test_an_upstream_that_says_no_to_the_probe_is_there() -> None:
    ward = Ward().opened()
    for _ in range(2):
        ward.wait_until_half_open() if ward.held() else None
        ward.fail("invalid_request", "request")
    assert ward.health.snapshot()[0]["breaker"]["state"] == "ramp"


def test_openings_are_flat_for_two_minutes_and_double_after() -> None:
    ward = Ward().opened()
    lengths = []
    for _ in range(14):
        lengths.append(ward.held() or 0.0)
        ward.wait_until_half_open()
        ward.fail()
    assert all(12 <= length <= 18 for length in lengths[:8])
    assert 24 <= lengths[8] <= 36
    assert lengths[-1] <= 360


def test_traffic_comes_back_in_a_ramp() -> None:
    ward = Ward().opened()
    ward.wait_until_half_open()
    ward.succeed(times=2)

    def share() -> float:
        admitted = sum(isinstance(ward.health.claim(A, ONE, ward.clock()), Ticket) for _ in range(1_000))
        return admitted / 1_000

    assert share() == pytest.approx(0.1, abs=0.01)
    ward.clock.now += 15
    assert share() == pytest.approx(0.1 + 0.9 / 4, abs=0.01)
    ward.clock.now += 16
    assert share() == 1.0
    assert ward.health.snapshot() == []


def test_a_claim_finds_the_probe_taken() -> None:
    ward = Ward().opened()
    ward.wait_until_half_open()
    probe, second = ward.claim(), ward.claim()
    assert isinstance(probe, Ticket)
    assert probe.probing
    assert isinstance(second, Hold)
    assert second.reason == "breaker"
    assert second.until - ward.clock.now == pytest.approx(1.0)
    probe.end(None, 0.1)
    assert isinstance(ward.claim(), Ticket)


def test_a_healthy_call_is_no_probe() -> None:
    ticket = Ward().claim()
    assert isinstance(ticket, Ticket)
    assert not ticket.probing


def test_what_another_worker_probes_is_held() -> None:
    lock = Lock(busy={"endpoint:a/m"})
    ward = Ward(lock=lock)
    ward.fail("connect", "provider", times=3)
    ward.fail(times=5)
    ward.clock.now += 16
    assert ward.held() is None
    assert ward.claim() == Hold(ward.clock.now + 1.0, "breaker", "endpoint:a/m")
    assert lock.taken == set()  # that of the provider was given back
    assert ward.held() == pytest.approx(1.0)
    lock.busy.clear()
    ward.clock.now += 1.0
    probe = ward.claim()
    assert isinstance(probe, Ticket)
    assert lock.taken == {"endpoint:a/m", "provider:a"}
    probe.end(Failure(kind="cancelled", scope="request"), None)
    assert lock.taken == set()


def test_a_last_resort_is_called_whatever_is_held_and_is_no_second_probe() -> None:
    ward = Ward().opened()
    assert not ward.begin().probing
    ward.wait_until_half_open()
    assert ward.begin().probing
    assert not ward.begin().probing


def test_two_circuits_in_their_ramps_share_their_credit() -> None:
    ward = Ward()
    ward.fail("connect", "provider", times=3)
    ward.fail(times=5)
    ward.clock.now += 16
    ward.succeed(times=2)
    admitted = sum(isinstance(ward.claim(), Ticket) for _ in range(1_000))
    assert admitted == pytest.approx(100, abs=2)


def test_a_look_costs_nothing_of_the_ramp() -> None:
    ward = Ward().opened()
    ward.wait_until_half_open()
    ward.succeed(times=2)
    assert all(ward.held() is None for _ in range(100))
    assert isinstance(ward.claim(), Hold)


def test_a_late_failure_from_before_the_closing_says_nothing() -> None:
    ward = Ward()
    late = [ward.begin() for _ in range(20)]
    ward.opened().wait_until_half_open()
    ward.succeed(times=2)
    ward.clock.now += 1
    for ticket in late:
        ticket.end(Failure(kind="timeout_headers", scope="endpoint"), None)
    assert ward.held() is None


def test_ten_minutes_closed_and_the_openings_are_forgotten() -> None:
    ward = Ward().opened()
    for _ in range(9):
        ward.wait_until_half_open()
        ward.fail()
    ward.wait_until_half_open()
    ward.succeed(times=2)
    ward.clock.now += 601
    ward.fail(times=5)
    assert 12 <= (ward.held() or 0) <= 15


def test_a_provider_that_answers_with_errors_can_be_reached() -> None:
    ward = Ward()
    for _ in range(4):
        ward.fail("connect", "provider", times=2)
        ward.fail("server_error", at=OTHER_MODEL)
    assert ward.held() is None
    ward.fail("connect", "provider", times=3)
    ward.wait_until_half_open()
    ward.fail("server_error", times=2)
    assert ward.held() is None
    assert ward.health.snapshot()[0]["breaker"]["state"] == "ramp"


# ---- answers that are not quite good


def flawed(ward: Ward, times: int, weight: float | None = None, kind: Kind = "degraded") -> None:
    for _ in range(times):
        ward.begin().end(None, 0.1, flaw=Failure(kind=kind, scope="endpoint"), weight=weight)


def test_degraded_answers_are_half_a_failure() -> None:
    ward = Ward()
    flawed(ward, 9)
    assert ward.held() is None
    flawed(ward, 1)
    assert ward.held()


def test_repaired_answers_open_nothing() -> None:
    ward = Ward()
    flawed(ward, 500, weight=0.1)
    assert ward.held() is None


def test_repaired_answers_close_a_circuit_and_degraded_ones_do_not() -> None:
    ward = Ward().opened()
    ward.wait_until_half_open()
    flawed(ward, 1)
    assert ward.held()
    ward.wait_until_half_open()
    flawed(ward, 2, weight=0.1)
    assert ward.health.snapshot()[0]["breaker"]["state"] == "ramp"


def test_a_flaw_may_hold_by_an_operators_word() -> None:
    ward = Ward()
    ward.begin().end(None, 0.1, flaw=Failure(kind="degraded", scope="endpoint", hold=40.0))
    assert ward.held() == pytest.approx(40)


# ---- looking


def test_an_endpoint_is_held_when_all_its_accounts_are() -> None:
    ward, both = Ward(), endpoint("a/m", ONE, TWO)
    ward.fail("rate_limited", "account_model", retry_in=50)
    assert ward.health.look(both).hold is None
    ward.health.begin(both, TWO).end(
        Failure(kind="rate_limited", scope="account_model", retry_at=ward.clock.now + 20), None
    )
    hold = ward.health.look(both).hold
    assert hold
    assert hold.until - ward.clock.now == pytest.approx(20)


def test_load_and_turns_are_counted_and_end_counts_once() -> None:
    ward = Ward()
    first, _second = ward.begin(), ward.begin()
    assert (ward.health.look(A).load, ward.health.look(A).turns) == (2, 2)
    first.end(None, 0.2)
    first.end(Failure(kind="server_error", scope="endpoint"), None)
    assert ward.health.look(A).load == 1
    assert ward.health.turns(A, ONE) == 2


def test_a_slow_answer_is_known_at_once_and_forgotten_slowly() -> None:
    ward = Ward()
    ward.succeed(ttft=0.1)
    ward.succeed(ttft=2.0)
    assert ward.health.look(A).ttft == pytest.approx(2.0)
    ward.clock.now += 10
    ward.succeed(ttft=0.1)
    assert ward.health.look(A).ttft == pytest.approx(0.8, abs=0.05)


def test_what_is_late_follows_the_slow_ones_of_the_last_answers() -> None:
    ward = Ward()
    assert ward.health.soft(A, 100) == 10.0
    ward.end_all(ttft=[1.0] * 48 + [1.5, 9.0])
    assert ward.health.soft(A, 0) == pytest.approx(3.0)  # of fifty, two are above the 95th percentile
    ward.end_all(ttft=[1.5])
    assert ward.health.soft(A, 0) == pytest.approx(4.5)


def test_what_is_late_is_never_less_than_two_seconds_or_more_than_ten() -> None:
    ward = Ward()
    ward.end_all(ttft=[0.01] * 50)
    assert ward.health.soft(A, 0) == 2.0
    ward.end_all(ttft=[9.0] * 50)
    assert ward.health.soft(A, 0) == 10.0


def test_a_long_prompt_is_given_more_time() -> None:
    ward = Ward()
    ward.end_all(ttft=[0.7] * 50, tokens=1_000)
    short, same, long = (ward.health.soft(A, tokens) for tokens in (0, 1_000, 8_000))
    assert short < same < long
    assert same == pytest.approx(2.1)
    assert ward.health.soft(A, 1_000_000) == 10.0


def test_what_is_usual_is_the_median_of_the_last_answers() -> None:
    ward = Ward()
    assert ward.health.usual(A) == 0.0
    ward.end_all(ttft=[5.0] * 50)
    ward.end_all(ttft=[0.2] * 10 + [0.4] * 30 + [3.0] * 10)
    assert ward.health.usual(A) == pytest.approx(0.4)


def test_what_failed_was_no_answer() -> None:
    ward = Ward()
    ward.begin().end(Failure(kind="stall", scope="endpoint"), 9.0)
    assert ward.health.usual(A) == 0.0


def test_idle_names_are_forgotten_when_there_are_too_many() -> None:
    ward = Ward().opened()
    for number in range(5_100):
        ward.succeed(at=endpoint(f"a/model-{number}"))
    assert len(ward.health._seen) < 5_002
    assert ward.held()
