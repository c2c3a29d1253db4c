"""The contracts of policies and providers see what they are there to see: each of these breaks one promise."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import msgspec
import pytest
from attrs import define, field, frozen

from llmrouter.errors import TransportError
from llmrouter.protocols import PolicyType, ProviderType
from llmrouter.settings import AccountSettings, ModelSettings, ProviderSettings, Secret
from llmrouter.testing.policy import PolicyContract, candidate
from llmrouter.testing.provider import ProviderContract
from llmrouter.types import Account, Call, Candidate, Endpoint, Failure, Ranked, Verdict, Wire

CLOSED: Mapping[str, Any] = {"type": "object", "properties": {}, "additionalProperties": False}


@frozen
class NoConfig:
    """Nothing to be set."""


def promises_of(contract: Any) -> Iterable[tuple[str, Callable[[], None]]]:
    """Every test of a contract with each of its parameters, as pytest would call it."""
    for name in dir(contract):
        if not name.startswith("test_"):
            continue
        method = getattr(contract, name)
        marks = [mark for mark in getattr(method, "pytestmark", ()) if mark.name == "parametrize"]
        for value in marks[0].args[1] if marks else [None]:
            arguments = {marks[0].args[0]: value} if marks else {}
            yield name, partial(method, **arguments)


def keeps(test: Callable[[], None]) -> bool:
    try:
        test()
    except (Exception, pytest.fail.Exception):
        return False
    except pytest.skip.Exception:
        return True
    return True


def failing(contract: Any) -> set[str]:
    return {name for name, test in promises_of(contract) if not keeps(test)}


# --- policies


def good_order(candidates: Sequence[Candidate]) -> list[Ranked]:
    ordered = sorted(candidates, key=lambda one: one.endpoint)
    return [Ranked(one, 1 - place / len(ordered)) for place, one in enumerate(ordered)]


class Sorted:
    def rank(self, facts: Any, candidates: Sequence[Candidate], draw: float) -> Sequence[Ranked]:
        return good_order(candidates)


class Inventive(Sorted):
    def rank(self, facts: Any, candidates: Sequence[Candidate], draw: float) -> Sequence[Ranked]:
        return good_order([*candidates, candidate("made/up")])


class Doubling(Sorted):
    def rank(self, facts: Any, candidates: Sequence[Candidate], draw: float) -> Sequence[Ranked]:
        return good_order([*candidates, *candidates[:1]])


class Forgetful(Sorted):
    def rank(self, facts: Any, candidates: Sequence[Candidate], draw: float) -> Sequence[Ranked]:
        return good_order(candidates)[:-1] if len(candidates) == 1 else good_order(candidates)


class Rising(Sorted):
    def rank(self, facts: Any, candidates: Sequence[Candidate], draw: float) -> Sequence[Ranked]:
        return good_order(candidates)[::-1]


class Rolling(Sorted):
    def rank(self, facts: Any, candidates: Sequence[Candidate], draw: float) -> Sequence[Ranked]:
        shuffled = random.sample(list(candidates), len(candidates))
        return [Ranked(one, 0.5) for one in shuffled]


class Reversing(Sorted):
    def rank(self, facts: Any, candidates: Sequence[Candidate], draw: float) -> Sequence[Ranked]:
        return [Ranked(one, 0.5) for one in reversed(candidates)]


class Greedy(Sorted):
    def rank(self, facts: Any, candidates: Sequence[Candidate], draw: float) -> Sequence[Ranked]:
        return good_order([one for one in candidates if one.cost or one.endpoint]) if _sums(candidates) else []


def _sums(candidates: Sequence[Candidate]) -> bool:
    return sum(one.cost for one in candidates) >= 0  # type: ignore[misc]


class Slow(Sorted):
    def rank(self, facts: Any, candidates: Sequence[Candidate], draw: float) -> Sequence[Ranked]:
        best = [sum(one.endpoint < other.endpoint for other in candidates for _ in range(20)) for one in candidates]
        return good_order(candidates) if best is not None else []


def policy_contract(policy: type[Sorted], schema: Mapping[str, Any] = CLOSED) -> PolicyContract:
    class Contract(PolicyContract):
        descriptor = PolicyType(name="x", config=NoConfig, schema=schema, build=lambda config, context: policy())

    return Contract()


def test_a_good_policy_keeps_the_contract() -> None:
    assert failing(policy_contract(Sorted)) == set()


@pytest.mark.parametrize(
    ("policy", "promise"),
    [
        (Inventive, "test_no_candidates_make_no_plan"),
        (Inventive, "test_what_it_ranks_are_the_candidates_each_once"),
        (Doubling, "test_what_it_ranks_are_the_candidates_each_once"),
        (Forgetful, "test_a_single_candidate_is_the_plan"),
        (Rising, "test_scores_fall_from_one_to_zero_and_parts_are_numbers"),
        (Rolling, "test_the_same_arguments_give_the_same_plan"),
        (Reversing, "test_a_recorded_plan_ranks_again_to_itself"),
        (Greedy, "test_unknown_costs_are_no_reason_to_fail"),
        (Slow, "test_four_hundred_candidates_are_ranked_in_no_time"),
    ],
)
def test_a_policy_that_breaks_a_promise_is_found_out(policy: type[Sorted], promise: str) -> None:
    test = dict(promises_of(policy_contract(policy)))[promise]
    with pytest.raises((AssertionError, TypeError, ExceptionGroup)):
        test()


def test_a_policy_that_takes_any_key_is_found_out() -> None:
    contract = policy_contract(Sorted, {"type": "object", "properties": {}})
    assert not keeps(contract.test_a_typo_is_an_error)


# --- providers


@define(eq=False)
class Pieces:
    """A reply in memory."""

    pieces: list[bytes]
    headers: Mapping[str, str] = field(factory=lambda: {"content-type": "application/json"})
    status: int = 200
    closed: bool = False

    async def chunks(self) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            if self.closed:
                return
            yield piece
            await asyncio.sleep(0)

    def close(self) -> None:
        self.closed = True


class Deaf(Pieces):
    def close(self) -> None:
        pass


class Littering(Pieces):
    def close(self) -> None:
        self.left = asyncio.ensure_future(asyncio.sleep(3_600))


KINDS: Mapping[int, Any] = {
    401: "auth",
    402: "payment",
    429: "rate_limited",
    500: "server_error",
    503: "overloaded",
}
KEY = "sk-0123456789abcdef"


@define(eq=False)
class Good:
    """A provider that keeps every promise; the others differ in one thing."""

    config: ProviderSettings
    status: int = 200
    there: bool = True
    reply: type[Pieces] = Pieces
    headers: Mapping[str, str] = {"content-type": "application/json"}

    async def send(self, call: Call) -> Pieces:
        if not self.there:
            raise TransportError("connect", "nobody is there")
        return self.reply([b"one", b"two", b"three"], self.headers, self.status)

    def judge(self, status: int, headers: Mapping[str, str], body: bytes) -> Verdict:
        if status < 400 and b"error" not in body:
            return Verdict(None)
        hint = headers.get("retry-after", "")
        return Verdict(
            Failure(
                kind=KINDS.get(status, "server_error"),
                scope="endpoint",
                status=status,
                retry_at=float(hint) if hint.isascii() and hint.isdigit() else None,
            )
        )


class Talkative(Good):
    def judge(self, status: int, headers: Mapping[str, str], body: bytes) -> Verdict:
        verdict = super().judge(status, headers, body)
        message = body.decode(errors="replace")
        return verdict and Verdict(verdict.failure and msgspec.structs.replace(verdict.failure, message=message))


class Strict(Good):
    def judge(self, status: int, headers: Mapping[str, str], body: bytes) -> Verdict:
        msgspec.json.decode(body or b"{}")
        return super().judge(status, headers, body)


class Lenient(Good):
    def judge(self, status: int, headers: Mapping[str, str], body: bytes) -> Verdict:
        return Verdict(None)


class Suspicious(Good):
    def judge(self, status: int, headers: Mapping[str, str], body: bytes) -> Verdict:
        return Verdict(Failure(kind="server_error", scope="endpoint", status=status))


class Exact(Good):
    def judge(self, status: int, headers: Mapping[str, str], body: bytes) -> Verdict:
        return super().judge(status, {}, body)


class Raising(Good):
    async def send(self, call: Call) -> Pieces:
        if self.status >= 400:
            raise TransportError("connect", "refused")
        if not self.there:
            raise OSError("nobody is there")
        return await super().send(call)


class Meddling(Good):
    async def send(self, call: Call) -> Pieces:
        call.fields["stream"] = msgspec.Raw(b"true")
        return await super().send(call)


def endpoints(config: ProviderSettings) -> Sequence[Endpoint]:
    accounts = tuple(Account(one.id, one.id) for one in config.accounts if one.enabled)
    return [
        Endpoint(provider=config.name, model=name, dialects=("x",), accounts=accounts) for name in config.models
    ]


def provider_contract(provider: type[Good] = Good, listed: Any = endpoints, **differs: Any) -> ProviderContract:
    class Contract(ProviderContract):
        descriptor = ProviderType(
            name="x", config=ProviderSettings, schema=CLOSED, build=lambda *_: None, endpoints=listed
        )
        secrets = (KEY,)

        def config(self) -> ProviderSettings:
            accounts = (AccountSettings(id="a", api_key=Secret(KEY)), AccountSettings(id="b", enabled=False))
            return ProviderSettings(name="p", plugin="x", accounts=accounts, models={"m": ModelSettings()})

        def provider(self) -> Any:
            return provider(self.config(), **differs)

        def scripted(self, status: int, headers: Mapping[str, str], body: bytes) -> Any:
            return provider(self.config(), status)

        def unreachable(self) -> Any:
            return provider(self.config(), there=False)

        def call(self, stream: bool) -> Call:
            account = Account("a", "a")
            endpoint = Endpoint(provider="p", model="m", dialects=("x",), accounts=(account,))
            return Call(endpoint=endpoint, account=account, op="chat", wire=Wire("x", stream), fields={})

    return Contract()


def test_a_good_provider_keeps_the_contract() -> None:
    assert failing(provider_contract()) == set()


def test_a_provider_with_a_lifespan_is_entered() -> None:
    entered = []

    class Lasting(Good):
        async def __aenter__(self) -> Good:
            entered.append(True)
            return Good(self.config, self.status, self.there)

        async def __aexit__(self, *_: object) -> None:
            entered.append(False)

    assert failing(provider_contract(Lasting)) == set()
    assert entered.count(True) == entered.count(False) > 10


def _doubled(config: ProviderSettings) -> Sequence[Endpoint]:
    return [*endpoints(config), *endpoints(config)]


def _everybody(config: ProviderSettings) -> Sequence[Endpoint]:
    accounts = tuple(Account(one.id, one.id) for one in config.accounts)
    return [Endpoint(provider=config.name, model="m", dialects=("x",), accounts=accounts)]


def _silent(config: ProviderSettings) -> Sequence[Endpoint]:
    return [Endpoint(provider=config.name, model="m", dialects=(), accounts=(Account("a", "a"),))]


@pytest.mark.parametrize(
    ("made", "promise"),
    [
        ({"provider": Talkative}, "test_its_secrets_are_shown_nowhere"),
        ({"provider": Strict}, "test_no_answer_is_too_strange_to_be_judged"),
        ({"provider": Lenient}, "test_no_answer_is_too_strange_to_be_judged"),
        ({"provider": Lenient}, "test_a_status_that_means_the_same_everywhere_is_understood"),
        ({"provider": Lenient}, "test_an_error_inside_a_good_status_is_a_failure"),
        ({"provider": Suspicious}, "test_an_answer_is_no_failure"),
        ({"provider": Exact}, "test_a_hint_in_seconds_is_taken"),
        ({"provider": Raising}, "test_a_refused_call_is_a_reply_and_no_exception"),
        ({"provider": Raising}, "test_an_upstream_that_is_not_there_is_a_transport_error"),
        ({"provider": Meddling}, "test_a_call_is_left_as_it_was"),
        ({"reply": Deaf}, "test_closed_before_it_is_read_it_gives_nothing"),
        ({"reply": Deaf}, "test_closed_between_two_chunks_it_ends"),
        ({"reply": Littering}, "test_a_cancelled_call_leaves_nothing_behind"),
        ({"headers": {"Content-Type": "application/json"}}, "test_a_call_is_answered"),
        ({"listed": _doubled}, "test_its_endpoints_can_be_routed_to"),
        ({"listed": _silent}, "test_its_endpoints_can_be_routed_to"),
        ({"listed": _everybody}, "test_an_account_that_is_switched_off_gets_no_calls"),
    ],
)
def test_a_provider_that_breaks_a_promise_is_found_out(made: dict[str, Any], promise: str) -> None:
    broken = [test for name, test in promises_of(provider_contract(**made)) if name == promise and not keeps(test)]
    assert broken
