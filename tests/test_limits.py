from __future__ import annotations

from llmrouter.catalogue.limits import Limits, scope
from llmrouter.settings import AccountSettings, ClientKeySettings, LimitSettings, ProviderSettings
from llmrouter.types import Account, Ask, Bucket, Endpoint

MINUTE = LimitSettings(unit="requests", amount=10, window="minute")
TOKENS = LimitSettings(unit="tokens", amount=500, window="day", scope="account")
WHOLE = LimitSettings(unit="usd", amount=5, window="day", scope="provider")
ONE, TWO = Account("1", "g"), Account("2", "g")
M = Endpoint(provider="a", model="m", dialects=("openai.chat",), accounts=(ONE, TWO))


def limits(*own: LimitSettings, **more: object) -> Limits:
    provider = ProviderSettings(name="a", plugin="x", limits=own, **more)  # type: ignore[arg-type]
    key = ClientKeySettings(name="dev", hash="", limits=(MINUTE, TOKENS, MINUTE))
    return Limits({"a": provider}, {"dev": key})


def test_a_limit_is_counted_where_it_says() -> None:
    assert limits(MINUTE, TOKENS, WHOLE).turn(M, ONE) == (
        Bucket("group:g/m", "requests", 10, "minute"),
        Bucket("group:g", "tokens", 500, "day"),
        Bucket("provider:a", "usd", 5, "day"),
    )


def test_accounts_of_one_group_draw_from_the_same_bucket() -> None:
    own = limits(MINUTE)
    assert own.turn(M, ONE) == own.turn(M, TWO)


def test_an_accounts_own_limits_stand_in_for_the_providers() -> None:
    own = limits(MINUTE, accounts=(AccountSettings(id="1", limits=(TOKENS,)),))
    assert [bucket.unit for bucket in own.turn(M, ONE)] == ["tokens"]
    assert [bucket.unit for bucket in own.turn(M, TWO)] == ["requests"]


def test_a_limit_said_twice_is_one() -> None:
    assert len(limits(MINUTE, MINUTE).turn(M, ONE)) == 1


def test_a_client_has_its_own_and_takes_requests_once() -> None:
    own = limits()
    assert [bucket.scope for bucket in own.client("dev")] == ["client:dev", "client:dev"]
    assert own.admission("dev") == (Ask(Bucket("client:dev", "requests", 10, "minute"), 1.0),)
    assert not own.client("somebody")
    assert not own.admission("somebody")


def test_a_call_draws_from_the_account_and_from_what_the_client_has_by_the_call() -> None:
    own = limits(MINUTE)
    assert own.call(M, ONE, "dev") == (Bucket("group:g/m", "requests", 10, "minute"), own.client("dev")[1])
    assert own.call(M, ONE, "somebody") == own.turn(M, ONE)


def test_a_provider_that_nobody_configured_has_no_limits() -> None:
    stranger = Endpoint(provider="z", model="m", dialects=("openai.chat",), accounts=(ONE,))
    assert limits(MINUTE).turn(stranger, ONE) == ()
    assert scope(stranger, ONE, "provider") == "provider:z"


def test_all_lists_every_bucket_once() -> None:
    assert [bucket.scope for bucket in limits(MINUTE).all([M])] == ["group:g/m", "client:dev", "client:dev"]


def test_models_that_clients_name_do_not_grow_without_end() -> None:
    own = limits(MINUTE)
    for number in range(20_100):
        own.call(Endpoint(provider="a", model=f"m{number}", dialects=(), accounts=(ONE,)), ONE, "dev")
    assert len(own._by_turn) <= 20_001
    assert len(own._by_call) <= 20_001
