from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import pytest

from llmrouter.engine.scopes import charged
from llmrouter.engine.turns import Turns, order
from llmrouter.types import Account, Candidate, Endpoint, Failure, Hold, Ranked, Scope, Wire

CHAT = Wire("openai.chat", False)
HELD = Hold(100.0, "breaker", "somewhere")


def endpoint(id: str, *accounts: str) -> Endpoint:
    provider, _, model = id.partition("/")
    own = tuple(Account(one, f"group-{one}") for one in accounts or (provider,))
    return Endpoint(provider=provider, model=model, dialects=("openai.chat",), accounts=own)


def turns(
    *endpoints: Endpoint, tiers: Sequence[int] = (), windows: Sequence[int | None] = (), held: Sequence[str] = ()
) -> Turns:
    known = {one.id: one for one in endpoints}
    plan = [
        Ranked(
            Candidate(
                endpoint=one.id,
                provider=one.provider,
                model=one.model,
                wire=CHAT,
                tier=tiers[place] if tiers else 0,
                window=windows[place] if windows else None,
            ),
            1.0,
        )
        for place, one in enumerate(endpoints)
    ]
    hold: Callable[[Endpoint, Account], Hold | None] = lambda one, account: HELD if one.id in held else None  # noqa: E731
    return Turns(plan, known.__getitem__, lambda one: one.accounts, hold)


def rest(turns: Turns) -> list[str]:
    found = []
    while turn := turns.take():
        found.append(f"{turn.endpoint.id}:{turn.account.id}")
    return found


def failed(scope: Scope) -> Failure:
    return Failure(kind="server_error", scope=scope)


def test_turns_are_candidates_times_accounts_each_once() -> None:
    assert rest(turns(endpoint("a/m", "1", "2"), endpoint("b/m"))) == ["a/m:1", "a/m:2", "b/m:b"]


@pytest.mark.parametrize(
    ("scope", "left"),
    [
        ("request", ["a/m:2", "a/n:1", "a/n:2", "b/m:b"]),
        ("account_model", ["a/m:2", "a/n:1", "a/n:2", "b/m:b"]),
        ("account", ["a/m:2", "a/n:2", "b/m:b"]),
        ("endpoint", ["a/n:1", "a/n:2", "b/m:b"]),
        ("provider", ["b/m:b"]),
    ],
)
def test_a_failure_bars_its_scope_for_the_rest_of_the_request(scope: Scope, left: list[str]) -> None:
    some = turns(endpoint("a/m", "1", "2"), endpoint("a/n", "1", "2"), endpoint("b/m"))
    first = some.take()
    assert first
    some.bar(first, failed(scope))
    assert rest(some) == left


def test_accounts_of_one_quota_group_are_barred_together() -> None:
    shared = Endpoint(
        provider="a", model="m", dialects=("openai.chat",), accounts=(Account("1", "g"), Account("2", "g"))
    )
    some = turns(shared, endpoint("b/m"))
    first = some.take()
    assert first
    some.bar(first, failed("account_model"))
    assert rest(some) == ["b/m:b"]


def test_a_repeat_comes_next_whatever_its_failure_barred() -> None:
    some = turns(endpoint("a/m"), endpoint("b/m"))
    first = some.take()
    assert first
    some.bar(first, failed("provider"))
    some.put_back(first)
    assert rest(some) == ["a/m:a", "b/m:b"]


def test_only_larger_or_unknown_windows_are_left_for_a_request_that_was_too_long() -> None:
    some = turns(endpoint("a/m"), endpoint("b/m"), endpoint("c/m"), endpoint("d/m"), windows=[8, 8, None, 16])
    first = some.take()
    assert first
    some.need_larger(first.candidate)
    assert rest(some) == ["c/m:c", "d/m:d"]


def test_a_peer_is_a_turn_of_the_same_tier_that_could_be_called_now() -> None:
    some = turns(endpoint("a/m"), endpoint("b/m"), endpoint("c/m"), tiers=[0, 0, 1])
    assert some.take()
    assert some.peer(0)
    assert some.take()
    assert not some.peer(0)
    assert some.peer(1)
    held = turns(endpoint("a/m"), endpoint("b/m"), held=["b/m"])
    assert held.take()
    assert not held.peer(0)


def test_another_account_is_a_peer_too() -> None:
    some = turns(endpoint("a/m", "1", "2"))
    first = some.take()
    assert first
    assert some.peer(0)
    some.bar(first, failed("endpoint"))
    assert not some.peer(0)


# ---- the order of accounts

ACCOUNTS = [Account("1", "1", 1.0), Account("2", "2", 8.0), Account("3", "3", 1.0)]


def ordered(select: str, session: str | None = None, seed: int = 1) -> list[str]:
    headroom = {"1": 0.2, "2": 0.9, "3": 0.9}
    used = {"1": 0, "2": 5, "3": 4}
    found = order(
        ACCOUNTS,
        select,  # type: ignore[arg-type]
        headroom=lambda account: headroom[account.id],
        used=lambda account: used[account.id],
        session=session,
        draw=random.Random(seed),
    )
    return [account.id for account in found]


def test_accounts_are_ordered_as_select_says() -> None:
    assert ordered("most_headroom") == ["3", "2", "1"]
    assert ordered("round_robin") == ["1", "3", "2"]
    assert ordered("least_used") == ["1", "3", "2"]


def test_weights_are_chances() -> None:
    first = [ordered("weighted", seed=seed)[0] for seed in range(400)]
    assert 280 <= first.count("2") <= 360  # 8 of 10
    assert {ordered("random", seed=seed)[0] for seed in range(50)} == {"1", "2", "3"}


def test_a_session_keeps_its_account_and_sessions_are_spread() -> None:
    assert ordered("random", "s1", seed=1) == ordered("random", "s1", seed=2)
    assert {ordered("random", f"s{number}")[0] for number in range(50)} == {"1", "2", "3"}


def test_a_failure_of_the_request_alone_is_charged_to_nobody() -> None:
    one = endpoint("a/m")
    assert charged(one, one.accounts[0], "request") == ""
    assert charged(one, one.accounts[0], "provider") == "provider:a"
