from __future__ import annotations

import random

import pytest

from llmrouter.engine.health import Health
from llmrouter.engine.table import TABLE
from llmrouter.engine.ticket import Ticket
from llmrouter.settings import BreakerSettings
from llmrouter.types import Account, Endpoint, Failure, Kind, Scope


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


ONE, TWO = Account("1", "g1"), Account("2", "g2")


def endpoint(id: str = "a/m", *accounts: Account) -> Endpoint:
    provider, _, model = id.partition("/")
    return Endpoint(provider=provider, model=model, dialects=("openai.chat",), accounts=accounts or (ONE,))


A, OTHER_MODEL, ELSEWHERE = endpoint("a/m"), endpoint("a/n"), endpoint("b/m")


class House:
    """A health, its clock, and short words for what happens."""

    def __init__(self, breaker: BreakerSettings | None = BreakerSettings()) -> None:  # noqa: B008 (frozen)
        self.clock = Clock()
        self.health = Health(breaker, self.clock, random.Random(3))

    def fail(
        self,
        kind: Kind = "server_error",
        scope: Scope = "endpoint",
        *,
        times: int = 1,
        retry_in: float | None = None,
        at: Endpoint = A,
    ) -> None:
        for _ in range(times):
            retry_at = None if retry_in is None else self.clock.now + retry_in
            self.begin(at).end(Failure(kind=kind, scope=scope, retry_at=retry_at), None)

    def succeed(self, times: int = 1, ttft: float = 0.1, at: Endpoint = A) -> None:
        for _ in range(times):
            self.begin(at).end(None, ttft)

    def begin(self, at: Endpoint = A) -> Ticket:
        return self.health.begin(at, at.accounts[0])

    def held(self, at: Endpoint = A, account: Account | None = None) -> float | None:
        """Seconds for which it is held."""
        hold = self.health.hold(at, account or at.accounts[0])
        return hold.until - self.clock.now if hold else None

    def opened(self) -> House:
        self.fail(times=5)
        assert self.held()
        return self

    def wait_until_half_open(self) -> None:
        held = self.held()
        assert held
        self.clock.now += held + 0.001


# ---- circuits


def test_five_failures_in_a_row_open_for_about_fifteen_seconds() -> None:
    house = House()
    house.fail(times=4)
    assert house.held() is None
    house.fail()
    assert 12.0 <= (house.held() or 0) <= 18.0


def test_a_success_between_starts_the_row_again() -> None:
    house = House()
    for _ in range(3):
        house.fail(times=4)
        house.succeed(times=9)
    assert house.held() is None


def test_half_of_the_last_minute_failing_opens() -> None:
    house = House()
    for _ in range(10):
        house.fail()
        if not house.held():
            house.succeed()
    assert house.held()


def test_failures_of_an_earlier_minute_do_not_count() -> None:
    house = House()
    for _ in range(4):
        house.fail(times=4)
        house.succeed()
        house.clock.now += 61
    assert house.held() is None


@pytest.mark.parametrize("kind", ["connect", "timeout_headers", "timeout_ttft"])
def test_three_silences_in_a_row_are_enough(kind: Kind) -> None:
    house = House()
    house.fail(kind, times=3)
    assert house.held()


def test_a_provider_that_cannot_be_reached_is_held_with_all_its_models() -> None:
    house = House()
    house.fail("connect", "provider", times=3)
    assert house.held(OTHER_MODEL)
    assert house.held(ELSEWHERE) is None


def test_a_failing_model_does_not_punish_the_others() -> None:
    house = House().opened()
    assert house.held(OTHER_MODEL) is None


@pytest.mark.parametrize("kind", [kind for kind, rule in TABLE.items() if not rule.breaker and not rule.hold])
def test_what_is_not_the_upstreams_fault_charges_nobody(kind: Kind) -> None:
    house = House()
    house.fail(kind, "request", times=50)
    assert house.held() is None
    assert house.health.snapshot() == []


def test_without_a_breaker_nothing_opens() -> None:
    house = House(None)
    house.fail(times=100)
    assert house.held() is None


def test_half_open_lets_exactly_one_probe_through() -> None:
    house = House().opened()
    house.wait_until_half_open()
    assert house.held() is None
    probe = house.begin()
    assert house.held()
    second = house.begin()
    second.end(Failure(kind="cancelled", scope="request"), None)
    assert house.held()
    probe.end(Failure(kind="cancelled", scope="request"), None)
    assert house.held() is None


def test_a_failed_probe_opens_again_and_two_good_ones_close() -> None:
    house = House().opened()
    house.wait_until_half_open()
    house.fail()
    assert house.held()
    house.wait_until_half_open()
    house.succeed()
    assert house.held() is None
    assert house.health.snapshot()[0]["breaker"]["state"] == "half_open"
    house.succeed()
    assert house.health.snapshot()[0]["breaker"]["state"] == "ramp"


def test_a_late_success_from_before_the_opening_counts_as_a_probe() -> None:
    house = House()
    early = [house.begin(), house.begin()]
    house.opened()
    for ticket in early:
        ticket.end(None, 0.1)
    assert house.held() is None


def test_an_upstream_that_says_no_to_the_probe_is_there() -> None:
    house = House().opened()
    for _ in range(2):
        house.wait_until_half_open() if house.held() else None
        house.fail("invalid_request", "request")
    assert house.health.snapshot()[0]["breaker"]["state"] == "ramp"


def test_openings_are_flat_for_two_minutes_and_double_after() -> None:
    house = House().opened()
    lengths = []
    for _ in range(14):
        lengths.append(house.held() or 0.0)
        house.wait_until_half_open()
        house.fail()
    assert all(12 <= length <= 18 for length in lengths[:8])
    assert 24 <= lengths[8] <= 36
    assert lengths[-1] <= 360


def test_traffic_comes_back_in_a_ramp() -> None:
    house = House().opened()
    house.wait_until_half_open()
    house.succeed(times=2)

    def share() -> float:
        admitted = sum(isinstance(house.health.claim(A, ONE), Ticket) for _ in range(1_000))
        return admitted / 1_000

    assert share() == pytest.approx(0.1, abs=0.01)
    house.clock.now += 15
    assert share() == pytest.approx(0.1 + 0.9 / 4, abs=0.01)
    house.clock.now += 16
    assert share() == 1.0
    assert house.health.snapshot() == []


# ---- holds


def test_a_rate_limit_holds_the_quota_group_and_model_for_the_hint() -> None:
    house = House()
    house.fail("rate_limited", "account_model", retry_in=7)
    assert house.held() == pytest.approx(7)
    shared = Account("9", ONE.group)
    assert house.health.hold(A, shared)
    assert house.held(OTHER_MODEL) is None
    assert house.health.hold(A, TWO) is None
    house.clock.now += 7.01
    assert house.held() is None


def test_a_hint_is_taken_within_reason() -> None:
    house = House()
    house.fail("rate_limited", "account_model", retry_in=10**9)
    assert house.held() == pytest.approx(86_400)
    other = House()
    other.fail("rate_limited", "account_model", retry_in=-5)
    assert other.held() == pytest.approx(0.1)


def test_limits_in_a_row_are_held_longer_up_to_a_minute() -> None:
    house = House()
    longest = 0.0
    for _ in range(30):
        house.fail("rate_limited", "account_model")
        held = house.held() or 0.0
        assert 1.0 <= held <= 60.0
        longest = max(longest, held)
        house.clock.now += held + 0.01
    assert longest > 20


def test_a_herd_of_failures_is_one_failure() -> None:
    house = House()
    tickets = [house.begin() for _ in range(50)]
    for ticket in tickets:
        ticket.end(Failure(kind="rate_limited", scope="account_model"), None)
    assert house.held() == pytest.approx(1.0)


def test_an_overload_is_never_held_longer_than_a_quick_recovery_takes() -> None:
    house = House(None)
    for _ in range(20):
        house.fail("overloaded")
        held = house.held() or 0.0
        assert 5 <= held <= 15
        house.clock.now += held + 0.01


def test_a_rejected_key_holds_the_account_everywhere() -> None:
    house = House()
    house.fail("auth", "account")
    assert house.held() == pytest.approx(1_800)
    assert house.held(OTHER_MODEL) == pytest.approx(1_800)
    assert house.health.hold(A, TWO) is None


def test_of_several_holds_the_latest_counts() -> None:
    house = House()
    house.fail("auth", "account")
    house.fail("rate_limited", "account_model", retry_in=5)
    hold = house.health.hold(A, ONE)
    assert hold
    assert hold.reason == "auth"
    assert hold.until - house.clock.now == pytest.approx(1_800)


# ---- looking


def test_an_endpoint_is_held_when_all_its_accounts_are() -> None:
    house, both = House(), endpoint("a/m", ONE, TWO)
    house.fail("rate_limited", "account_model", retry_in=50)
    assert house.health.look(both).hold is None
    house.health.begin(both, TWO).end(
        Failure(kind="rate_limited", scope="account_model", retry_at=house.clock.now + 20), None
    )
    hold = house.health.look(both).hold
    assert hold
    assert hold.until - house.clock.now == pytest.approx(20)


def test_load_and_turns_are_counted_and_end_counts_once() -> None:
    house = House()
    first, _second = house.begin(), house.begin()
    assert (house.health.look(A).load, house.health.look(A).turns) == (2, 2)
    first.end(None, 0.2)
    first.end(Failure(kind="server_error", scope="endpoint"), None)
    assert house.health.look(A).load == 1
    assert house.health.turns(A, ONE) == 2


def test_a_slow_answer_is_known_at_once_and_forgotten_slowly() -> None:
    house = House()
    house.succeed(ttft=0.1)
    house.succeed(ttft=2.0)
    assert house.health.look(A).ttft == pytest.approx(2.0)
    house.clock.now += 10
    house.succeed(ttft=0.1)
    assert house.health.look(A).ttft == pytest.approx(0.8, abs=0.05)


def test_idle_names_are_forgotten_when_there_are_too_many() -> None:
    house = House().opened()
    for number in range(5_100):
        house.succeed(at=endpoint(f"a/model-{number}"))
    assert len(house.health._seen) < 5_002
    assert house.held()
