from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from attrs import define, field

from llmrouter.engine.health import Health
from llmrouter.engine.probe_lock import NoLock, ProbeLock
from llmrouter.engine.table import TABLE
from llmrouter.engine.ticket import Ticket
from llmrouter.settings import BreakerSettings
from llmrouter.types import Account, Endpoint, Failure, Hold, Kind, Scope


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


@define
class Lock:
    """One of a worker to whose scopes others have a claim, too."""

    busy: set[str] = field(factory=set)
    taken: set[str] = field(factory=set)

    def take(self, scope: str) -> bool:
        if scope not in self.busy:
            self.taken.add(scope)
        return scope not in self.busy

    def give(self, scope: str) -> None:
        self.taken.remove(scope)


class House:
    """A health, its clock, and short words for what happens."""

    def __init__(
        self,
        breaker: BreakerSettings | None = BreakerSettings(),  # noqa: B008 (frozen)
        lock: ProbeLock = NoLock(),  # noqa: B008 (without state)
        seed: int = 3,
    ) -> None:
        self.clock = Clock()
        self.health = Health(breaker, self.clock, random.Random(seed), lock)

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

    def claim(self, at: Endpoint = A) -> Ticket | Hold:
        return self.health.claim(at, at.accounts[0])

    def end_all(self, ttft: Sequence[float], tokens: int = 0) -> None:
        for one in ttft:
            self.begin().end(None, one, tokens)

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


def test_a_claim_finds_the_probe_taken() -> None:
    house = House().opened()
    house.wait_until_half_open()
    probe, second = house.claim(), house.claim()
    assert isinstance(probe, Ticket)
    assert probe.probing
    assert isinstance(second, Hold)
    assert second.reason == "breaker"
    assert second.until - house.clock.now == pytest.approx(1.0)
    probe.end(None, 0.1)
    assert isinstance(house.claim(), Ticket)


def test_a_healthy_call_is_no_probe() -> None:
    ticket = House().claim()
    assert isinstance(ticket, Ticket)
    assert not ticket.probing


def test_what_another_worker_probes_is_held() -> None:
    lock = Lock(busy={"endpoint:a/m"})
    house = House(lock=lock)
    house.fail("connect", "provider", times=3)
    house.fail(times=5)
    house.clock.now += 16
    assert house.held() is None
    assert house.claim() == Hold(house.clock.now + 1.0, "breaker", "endpoint:a/m")
    assert lock.taken == set()  # that of the provider was given back
    assert house.held() == pytest.approx(1.0)
    lock.busy.clear()
    house.clock.now += 1.0
    probe = house.claim()
    assert isinstance(probe, Ticket)
    assert lock.taken == {"endpoint:a/m", "provider:a"}
    probe.end(Failure(kind="cancelled", scope="request"), None)
    assert lock.taken == set()


def test_a_last_resort_is_called_whatever_is_held_and_is_no_second_probe() -> None:
    house = House().opened()
    assert not house.begin().probing
    house.wait_until_half_open()
    assert house.begin().probing
    assert not house.begin().probing


def test_two_circuits_in_their_ramps_share_their_credit() -> None:
    house = House()
    house.fail("connect", "provider", times=3)
    house.fail(times=5)
    house.clock.now += 16
    house.succeed(times=2)
    admitted = sum(isinstance(house.claim(), Ticket) for _ in range(1_000))
    assert admitted == pytest.approx(100, abs=2)


def test_a_look_costs_nothing_of_the_ramp() -> None:
    house = House().opened()
    house.wait_until_half_open()
    house.succeed(times=2)
    assert all(house.held() is None for _ in range(100))
    assert isinstance(house.claim(), Hold)


def test_a_late_failure_from_before_the_closing_says_nothing() -> None:
    house = House()
    late = [house.begin() for _ in range(20)]
    house.opened().wait_until_half_open()
    house.succeed(times=2)
    house.clock.now += 1
    for ticket in late:
        ticket.end(Failure(kind="timeout_headers", scope="endpoint"), None)
    assert house.held() is None


def test_ten_minutes_closed_and_the_openings_are_forgotten() -> None:
    house = House().opened()
    for _ in range(9):
        house.wait_until_half_open()
        house.fail()
    house.wait_until_half_open()
    house.succeed(times=2)
    house.clock.now += 601
    house.fail(times=5)
    assert 12 <= (house.held() or 0) <= 15


def test_a_provider_that_answers_with_errors_can_be_reached() -> None:
    house = House()
    for _ in range(4):
        house.fail("connect", "provider", times=2)
        house.fail("server_error", at=OTHER_MODEL)
        house.succeed(at=OTHER_MODEL)
    assert house.held() is None
    house.fail("connect", "provider", times=3)
    house.wait_until_half_open()
    house.fail("server_error", times=2)
    assert house.held() is None
    assert house.health.snapshot()[0]["breaker"]["state"] == "ramp"


# ---- answers that are not quite good


def flawed(house: House, times: int, weight: float | None = None, kind: Kind = "degraded") -> None:
    for _ in range(times):
        house.begin().end(None, 0.1, flaw=Failure(kind=kind, scope="endpoint"), weight=weight)


def test_degraded_answers_are_half_a_failure() -> None:
    house = House()
    flawed(house, 9)
    assert house.held() is None
    flawed(house, 1)
    assert house.held()


def test_repaired_answers_open_nothing() -> None:
    house = House()
    flawed(house, 500, weight=0.1)
    assert house.held() is None


def test_repaired_answers_close_a_circuit_and_degraded_ones_do_not() -> None:
    house = House().opened()
    house.wait_until_half_open()
    flawed(house, 1)
    assert house.held()
    house.wait_until_half_open()
    flawed(house, 2, weight=0.1)
    assert house.health.snapshot()[0]["breaker"]["state"] == "ramp"


def test_a_flaw_may_hold_by_an_operators_word() -> None:
    house = House()
    house.begin().end(None, 0.1, flaw=Failure(kind="degraded", scope="endpoint", hold=40.0))
    assert house.held() == pytest.approx(40)


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


def test_stragglers_of_a_herd_do_not_make_the_next_hold_longer() -> None:
    house = House()
    tickets = [house.begin() for _ in range(10)]
    for ticket in tickets:
        ticket.end(Failure(kind="rate_limited", scope="account_model"), None)
        assert house.held() == pytest.approx(1.0)
        house.clock.now += 1.5


def test_an_answer_halves_what_is_held_next() -> None:
    def longest(answers: int) -> float:
        found = 0.0
        for seed in range(40):
            house = House(seed=seed)
            for _ in range(6):
                house.fail("rate_limited", "account_model")
                house.clock.now += 61
            house.succeed(answers)
            house.fail("rate_limited", "account_model")
            found = max(found, house.held() or 0.0)
        return found

    assert 32 < longest(0) <= 60  # 1 s · 2⁶, at most a minute
    assert 4 < longest(1) <= 8  # 2³: five in a row were halved to two, and one more
    assert longest(9) <= 2


@pytest.mark.parametrize("kind", ["server_error", "rate_limited", "auth", "not_found"])
def test_an_operators_word_on_a_hold_wins(kind: Kind) -> None:
    house = House()
    house.begin().end(Failure(kind=kind, scope="endpoint", hold=77.0, retry_at=house.clock.now + 5), None)
    assert house.held() == pytest.approx(77)
    free = House()
    free.begin().end(Failure(kind=kind, scope="endpoint", hold=0.0, retry_at=free.clock.now + 5), None)
    assert free.held() is None


def faults(house: House, times: int, by: str = "plugin") -> None:
    for _ in range(times):
        house.begin().end(Failure(kind="internal", scope="endpoint", by=by), None)
        house.clock.now += 10


def test_a_plugin_with_five_faults_in_a_minute_is_out(caplog: pytest.LogCaptureFixture) -> None:
    house = House()
    faults(house, 4)
    assert house.held(OTHER_MODEL) is None
    faults(house, 1)
    assert house.held(OTHER_MODEL) == pytest.approx(290)
    assert house.held(ELSEWHERE) is None
    assert "provider:a is held for 5 minutes: internal" in caplog.text


def test_rare_faults_of_a_plugin_are_borne_and_those_between_answers() -> None:
    house = House()
    for _ in range(10):
        faults(house, 4)
        house.clock.now += 30
    for _ in range(10):
        faults(house, 2)
        house.succeed()
    assert house.held() is None


@pytest.mark.parametrize("kind", ["auth", "payment"])
def test_who_has_to_mend_something_is_told_once(kind: Kind, caplog: pytest.LogCaptureFixture) -> None:
    house = House()
    house.fail(kind, "account", times=3)
    assert caplog.text.count("account:a/1 is held") == 1


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


def test_what_is_late_follows_the_slow_ones_of_the_last_answers() -> None:
    house = House()
    assert house.health.soft(A, 100) == 10.0
    house.end_all(ttft=[1.0] * 48 + [1.5, 9.0])
    assert house.health.soft(A, 0) == pytest.approx(3.0)  # of fifty, two are above the 95th percentile
    house.end_all(ttft=[1.5])
    assert house.health.soft(A, 0) == pytest.approx(4.5)


def test_what_is_late_is_never_less_than_two_seconds_or_more_than_ten() -> None:
    house = House()
    house.end_all(ttft=[0.01] * 50)
    assert house.health.soft(A, 0) == 2.0
    house.end_all(ttft=[9.0] * 50)
    assert house.health.soft(A, 0) == 10.0


def test_a_long_prompt_is_given_more_time() -> None:
    house = House()
    house.end_all(ttft=[0.7] * 50, tokens=1_000)
    short, same, long = (house.health.soft(A, tokens) for tokens in (0, 1_000, 8_000))
    assert short < same < long
    assert same == pytest.approx(2.1)
    assert house.health.soft(A, 1_000_000) == 10.0


def test_what_is_usual_is_the_median_of_the_last_answers() -> None:
    house = House()
    assert house.health.usual(A) == 0.0
    house.end_all(ttft=[5.0] * 50)
    house.end_all(ttft=[0.2] * 10 + [0.4] * 30 + [3.0] * 10)
    assert house.health.usual(A) == pytest.approx(0.4)


def test_what_failed_was_no_answer() -> None:
    house = House()
    house.begin().end(Failure(kind="stall", scope="endpoint"), 9.0)
    assert house.health.usual(A) == 0.0


def test_idle_names_are_forgotten_when_there_are_too_many() -> None:
    house = House().opened()
    for number in range(5_100):
        house.succeed(at=endpoint(f"a/model-{number}"))
    assert len(house.health._seen) < 5_002
    assert house.held()
