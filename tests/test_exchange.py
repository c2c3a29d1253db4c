from __future__ import annotations

import asyncio
import gc
from collections.abc import Coroutine
from typing import Any

import msgspec
import pytest
from attrs import evolve

from llmrouter.engine.attempt import Attempt
from llmrouter.engine.attempts import Attempts
from llmrouter.engine.exchange import Exchange
from llmrouter.engine.turns import Turns
from llmrouter.errors import TransportError
from llmrouter.settings import (
    ClientKeySettings,
    EngineSettings,
    LimitSettings,
    ProviderSettings,
    TimeoutSettings,
)
from llmrouter.testing import run
from llmrouter.types import Account, Card, Price, RequestRecord
from tests.house import ANY_MODEL, Answer, House, Socket, Upstream, chunk, endpoint, error, plain, streamed


def good(text: str = "hello") -> Upstream:
    return Upstream([Answer(plain(text))])


def bad(status: int = 500, **headers: str) -> Upstream:
    return Upstream([error(status, **headers)])


def in_time(main: Coroutine[Any, Any, None]) -> None:
    run(main)


# ---- answers


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_in_the_clients_dialect_goes_through_byte_for_byte(stream: bool) -> None:
    async def main() -> None:
        script = streamed("hel", "lo") if stream else plain()
        house = House({"a/m": Upstream([Answer(script)])})
        socket = await house.ask(stream=stream)
        assert socket.status == 200
        assert socket.text == "hello"
        if not stream:
            assert socket.body == script[0]
        assert (house.record.outcome, house.record.status, house.served) == ("complete", 200, "a/m")
        house.assert_nothing_is_left()

    in_time(main())


@pytest.mark.parametrize("stream", [False, True])
def test_a_request_leaves_nothing_for_the_garbage_collector(stream: bool) -> None:
    """A cycle through a request would keep its bodies, and slow down all others that come until it is found."""

    async def main() -> None:
        house = House({"a/m": bad(), "b/m": Upstream([Answer(streamed("x") if stream else plain())])})
        await house.ask(stream=stream)
        gc.collect()
        gc.disable()
        try:
            await house.ask(stream=stream)
            left = [one for one in gc.get_objects() if type(one) in (Exchange, Attempts, Attempt, Turns)]
        finally:
            gc.enable()
        assert left == []

    in_time(main())


def test_the_upstream_gets_its_own_model_and_is_always_asked_for_usage() -> None:
    async def main() -> None:
        house = House({"a/m": Upstream([Answer(streamed("x"))])})
        await house.ask(stream=True, temperature=0.10)
        fields = house.upstreams["a"].calls[0].fields
        assert bytes(fields["model"]) == b'"m"'
        assert msgspec.json.decode(fields["stream_options"]) == {"include_usage": True}
        assert bytes(fields["temperature"]) == b"0.1"

    in_time(main())


def test_headers_say_who_answered_and_why() -> None:
    async def main() -> None:
        house = House(
            {"a/m": bad(), "b/m": Upstream([Answer(plain(), headers={"x-ratelimit-limit-requests": "9"})])}
        )
        socket = await house.ask()
        headers = socket.headers
        assert headers["x-llmrouter-provider"] == "b"
        assert headers["x-llmrouter-model"] == "m"
        assert headers["x-llmrouter-account"] == "b"
        assert headers["x-llmrouter-attempts"] == "2"
        assert headers["x-llmrouter-cache"] == "bypass"
        assert headers["x-llmrouter-reason"].startswith("health; ")
        assert headers["x-request-id"] == "req_1"
        assert headers["x-ratelimit-limit-requests"] == "9"

    in_time(main())


def test_what_the_vendor_was_not_told_is_reported() -> None:
    async def main() -> None:
        house = House({"a/m": Upstream([Answer(plain(), dropped=("seed", "user"))])})
        assert (await house.ask(seed=1)).headers["x-llmrouter-dropped"] == "seed, user"
        assert house.record.dropped == ("seed", "user")

    in_time(main())


def test_cost_is_told_on_a_plain_answer_and_in_the_trace_of_a_stream() -> None:
    async def main() -> None:
        card = Card(price=Price(input=1.0, output=2.0))
        priced = [endpoint("a/m", card=card)]
        socket = await House({"a/m": good()}, endpoints=priced).ask()
        assert float(socket.headers["x-llmrouter-cost"]) == pytest.approx(20e-6)
        house = House({"a/m": Upstream([Answer(streamed("x"))])}, endpoints=priced)
        stream = await house.ask(stream=True, headers={"x-llmrouter-trace": "1"})
        assert "x-llmrouter-cost" not in stream.headers
        assert b': llmrouter {"id":"req_1","attempts":1,"served":"a/m","cost":' in stream.body
        assert house.record.cost == pytest.approx(12e-6)

    in_time(main())


# ---- failover


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "broken",
    [
        error(500),
        error(503),
        error(429),
        error(401),
        error(404),
        TransportError("connect", "refused"),
        TransportError("timeout_headers", "silent"),
        Answer([TransportError("truncated", "cut")]),
        Answer([b"<html>oops</html>"]),
        Answer([b'{"error": {"message": "inside a 200"}}']),
        Answer([b'data: {"error": {"message": "inside a stream"}}\n\n']),
        Answer([b""]),
        Answer([chunk(), b"data: {oops\n\n"]),
        Answer([chunk()]),
        RuntimeError("a bug in a plugin"),
    ],
    ids=lambda broken: repr(broken)[:40],
)
def test_whatever_the_first_upstream_does_its_peer_answers(broken: Any, stream: bool) -> None:
    async def main() -> None:
        script = streamed("hel", "lo") if stream else plain()
        house = House({"a/m": Upstream([broken]), "b/m": Upstream([Answer(script)])})
        socket = await house.ask(stream=stream)
        assert (socket.status, socket.text, house.served) == (200, "hello", "b/m")
        assert house.upstreams["a"].calls
        assert len(house.record.steps) == 2
        assert house.kinds[0] is not None
        house.assert_nothing_is_left()

    in_time(main())


def test_a_peer_is_tried_at_once_and_a_fallback_after_one_repeat() -> None:
    async def main() -> None:
        peers = House({"a/m": bad(), "b/m": good()})
        before = peers.engine.clock()
        await peers.ask()
        assert peers.engine.clock() == before
        tiers = House({"a/m": bad(), "b/m": good()}, tiers=[["a/m"], ["b/m"]])
        await tiers.ask()
        assert tiers.kinds == ["server_error", "server_error", None]
        assert 0.3 <= tiers.engine.clock() - before <= 0.61

    in_time(main())


def test_a_short_hint_is_waited_for_where_only_a_fallback_is_left() -> None:
    async def main() -> None:
        limited = Upstream([error(429, **{"retry-after": "2"}), Answer(plain("waited"))])
        house = House({"a/m": limited, "b/m": good()}, tiers=[["a/m"], ["b/m"]])
        before = house.engine.clock()
        socket = await house.ask()
        assert socket.text == "waited"
        assert 2.0 <= house.engine.clock() - before <= 2.21
        long = House({"a/m": bad(429, **{"retry-after": "20"}), "b/m": good("other")}, tiers=[["a/m"], ["b/m"]])
        assert (await long.ask()).text == "other"

    in_time(main())


def test_a_repeat_needs_budget() -> None:
    async def main() -> None:
        house = House({"a/m": bad()}, tiers=[["a/m"]])
        for _ in range(40):
            house.engine.health._troubled.clear()
            house.engine.health._circuits.forget(())
            await house.ask()
        made = len(house.upstreams["a"].calls)
        assert 40 < made < 40 + 10 + 8 + 40

    in_time(main())


def test_all_calls_together_cost_no_more_than_the_client_will_pay() -> None:
    async def main() -> None:
        card = Card(price=Price(input=1_000.0, output=0.0))
        ids = ["a/m", "b/m", "c/m"]
        upstreams = {"a/m": bad(), "b/m": bad(), "c/m": good()}
        house = House(upstreams, endpoints=[endpoint(id, card=card) for id in ids])
        await house.ask()
        each = next(one.candidate.cost for one in house.record.decision.plan)  # type: ignore[union-attr]
        assert each
        socket = await house.ask(headers={"x-llmrouter-budget": f"{2.5 * each}"})
        assert socket.status == 502
        assert house.kinds == ["server_error", "server_error", "budget"]

    in_time(main())


def test_switched_off_failover_makes_one_call() -> None:
    async def main() -> None:
        house = House({"a/m": bad(), "b/m": good()}, settings=EngineSettings(fallback=False))
        socket = await house.ask()
        assert socket.status == 502
        assert house.kinds == ["server_error"]
        assert not house.upstreams["b"].calls

    in_time(main())


@pytest.mark.parametrize("status", [400, 422])
def test_the_clients_mistake_is_not_tried_elsewhere(status: int) -> None:
    async def main() -> None:
        house = House({"a/m": bad(400), "b/m": good()})
        socket = await house.ask()
        assert (socket.status, house.kinds) == (400, ["invalid_request"])
        assert not house.upstreams["b"].calls

    in_time(main())


def test_a_request_that_was_too_long_goes_to_a_larger_window_only() -> None:
    async def main() -> None:
        endpoints = [
            endpoint("a/m", card=Card(window=1_000)),
            endpoint("b/m", card=Card(window=500)),
            endpoint("c/m", card=Card(window=9_000)),
        ]
        house = House({"a/m": bad(413), "b/m": good("small"), "c/m": good("large")}, endpoints=endpoints)
        assert (await house.ask()).text == "large"
        assert not house.upstreams["b"].calls

    in_time(main())


def test_no_more_attempts_than_allowed_are_made() -> None:
    async def main() -> None:
        house = House({f"{letter}/m": bad() for letter in "abcdefghij"})
        socket = await house.ask()
        assert socket.status == 502
        assert len(house.record.steps) == 6
        assert len(socket.error["llmrouter"]["attempts"]) == 6

    in_time(main())


def test_accounts_of_one_endpoint_are_turns_of_their_own() -> None:
    async def main() -> None:
        both = endpoint("a/m", Account("1", "g1"), Account("2", "g2"))
        up = Upstream([error(429), Answer(plain())])
        house = House({"a/m": up}, endpoints=[both])
        assert (await house.ask()).status == 200
        assert [call.account.id for call in up.calls] == ["1", "2"]

    in_time(main())


def test_keys_that_are_all_rejected_are_our_trouble_and_not_the_clients() -> None:
    async def main() -> None:
        house = House({"a/m": bad(401), "b/m": bad(402)})
        socket = await house.ask()
        assert (socket.status, socket.error["code"]) == (502, "upstream_credentials_exhausted")
        assert socket.headers["x-should-retry"] == "false"
        again = await house.ask()
        assert (again.status, again.error["code"]) == (502, "upstream_credentials_exhausted")
        assert set(house.kinds) == {"auth", "payment"}
        assert len(house.upstreams["a"].calls) == 1

    in_time(main())


# ---- holds


def test_what_is_held_is_skipped_and_the_skip_is_recorded() -> None:
    async def main() -> None:
        house = House({"a/m": bad(429, **{"retry-after": "30"}), "b/m": Upstream([Answer(plain())])})
        await house.ask()
        await house.ask()
        assert house.kinds == [None]
        assert house.record.decision
        assert house.record.decision.reason == "limit"
        assert len(house.upstreams["a"].calls) == 1

    in_time(main())


def test_when_all_are_held_the_first_to_recover_is_waited_for() -> None:
    async def main() -> None:
        up = Upstream([error(429, **{"retry-after": "8"}), Answer(plain())])
        house = House({"a/m": up})
        assert (await house.ask()).status == 429
        await asyncio.sleep(6)
        before = house.engine.clock()
        assert (await house.ask()).status == 200
        assert house.engine.clock() - before == pytest.approx(2.0, abs=0.01)
        assert house.kinds == ["cooling", None]

    in_time(main())


def test_a_long_limit_is_told_to_the_client_without_a_call() -> None:
    async def main() -> None:
        house = House({"a/m": bad(429, **{"retry-after": "50"})})
        await house.ask()
        socket = await house.ask()
        assert (socket.status, socket.headers["retry-after"]) == (429, "50")
        assert len(house.upstreams["a"].calls) == 1

    in_time(main())


def test_an_open_circuit_with_no_other_way_is_tried_all_the_same() -> None:
    async def main() -> None:
        up = Upstream([*[error(500)] * 5, Answer(plain())])
        house = House({"a/m": up}, settings=EngineSettings(wait_max=0.1))
        for _ in range(4):
            await house.ask()
        assert house.record.outcome == "complete"

    in_time(main())


# ---- limits


def limited(**limits: float) -> dict[str, ProviderSettings]:
    own = tuple(LimitSettings(unit=unit, amount=amount, window="day") for unit, amount in limits.items())  # type: ignore[arg-type]
    return {"a": ProviderSettings(name="a", plugin="fake", limits=own)}


def test_an_account_is_used_to_its_last_request_and_not_beyond() -> None:
    async def main() -> None:
        house = House({"a/m": good("free"), "b/m": good("paid")}, providers=limited(requests=3))
        texts = [(await house.ask()).text for _ in range(5)]
        assert texts == ["free", "free", "free", "paid", "paid"]
        assert house.kinds == ["limit", None]

    in_time(main())


def test_a_call_that_was_refused_before_it_was_taken_gives_its_quota_back() -> None:
    async def main() -> None:
        up = Upstream([TransportError("connect", "refused")] * 2 + [Answer(plain())])
        house = House({"a/m": up}, providers=limited(tokens=5_000))
        await house.ask()
        await house.ask()
        assert house.record.outcome == "complete"

    in_time(main())


def test_a_client_over_its_own_limit_gets_a_429_without_an_attempt() -> None:
    async def main() -> None:
        key = ClientKeySettings(
            name="dev", hash="", limits=(LimitSettings(unit="requests", amount=2, window="minute"),)
        )
        house = House({"a/m": good()}, keys=[key])
        statuses = [(await house.ask()).status for _ in range(3)]
        assert statuses == [200, 200, 429]
        assert house.record.steps == ()
        assert len(house.upstreams["a"].calls) == 2

    in_time(main())


def test_concurrent_requests_of_a_client_come_back_when_they_end() -> None:
    async def main() -> None:
        key = ClientKeySettings(
            name="dev", hash="", limits=(LimitSettings(unit="concurrent", amount=1, window=""),)
        )
        slow = Upstream([Answer([0.5, *plain()])])
        house = House({"a/m": slow}, keys=[key])
        first = asyncio.create_task(house.ask())
        await asyncio.sleep(0.1)
        assert (await house.ask()).status == 429
        assert (await first).status == 200
        await asyncio.sleep(1.5)
        assert (await house.ask()).status == 200

    in_time(main())


# ---- streams


def test_nothing_is_written_before_the_first_output() -> None:
    async def main() -> None:
        role = chunk().replace(b'"delta":{}', b'"delta":{"role":"assistant","content":""}')
        first = Upstream([Answer([role, TransportError("truncated", "cut")])])
        house = House({"a/m": first, "b/m": Upstream([Answer(streamed("ok"))])})
        socket = await house.ask(stream=True)
        assert socket.text == "ok"
        assert socket.body.count(b"chatcmpl-up") == socket.body.count(b"data: {")

    in_time(main())


@pytest.mark.parametrize(
    "end",
    [
        [TransportError("truncated", "reset")],
        [],
        [b"data: {oops\n\n"],
        [b'data: {"error": {"message": "busy"}}\n\n'],
        [60.0],
    ],
    ids=["reset", "clean end without a finish", "malformed", "error in band", "stall"],
)
def test_a_cut_after_the_commit_point_is_an_error_in_band_and_never_a_clean_end(end: list[Any]) -> None:
    async def main() -> None:
        house = House(
            {"a/m": Upstream([Answer([chunk("part"), *end])]), "b/m": Upstream([Answer(streamed("never"))])}
        )
        socket = await house.ask(stream=True)
        assert socket.status == 200
        assert socket.text == "part"
        assert b"[DONE]" not in socket.body
        last = msgspec.json.decode(socket.body.rstrip().rsplit(b"data: ", 1)[1])
        assert last["error"]["llmrouter"]["attempts"]
        assert house.record.outcome == "broken"
        assert not house.upstreams["b"].calls
        house.assert_nothing_is_left()

    in_time(main())


@pytest.mark.parametrize("begin", [[chunk("all"), chunk(finish="stop")], [chunk("all") + chunk(finish="stop")]])
@pytest.mark.parametrize("end", [[], [TransportError("truncated", "reset")], [100.0]])
def test_a_finish_without_an_end_mark_is_whole(begin: list[Any], end: list[Any]) -> None:
    async def main() -> None:
        house = House({"a/m": Upstream([Answer([*begin, *end])])})
        before = house.engine.clock()
        socket = await house.ask(stream=True)
        assert socket.body.endswith(b"data: [DONE]\n\n")
        assert house.record.outcome == "complete"
        assert house.engine.clock() - before <= 2.1

    in_time(main())


# ---- time


@pytest.mark.parametrize("stream", [False, True])
def test_a_silent_upstream_is_left_for_another(stream: bool) -> None:
    async def main() -> None:
        script = streamed("ok") if stream else plain("ok")
        silent = ProviderSettings(name="a", plugin="fake", timeout=4.0)
        for hanging in (Answer(script, wait=1_000.0), Answer([1_000.0, *script])):
            house = House(
                {"a/m": Upstream([hanging]), "b/m": Upstream([Answer(script)])},
                providers={"a": silent},
                settings=EngineSettings(timeouts=TimeoutSettings(ttft_hard=4.0, idle=4.0)),
            )
            before = house.engine.clock()
            assert (await house.ask(stream=stream)).text == "ok"
            assert house.engine.clock() - before == pytest.approx(4.0, abs=0.2)
            assert house.kinds[0] in ("timeout_headers", "timeout_ttft", "stall")
            house.assert_nothing_is_left()

    in_time(main())


def test_a_slow_plain_answer_is_given_time_for_its_tokens() -> None:
    async def main() -> None:
        house = House({"a/m": Upstream([Answer(plain("long"), wait=120.0)])})
        assert (await house.ask()).text == "long"
        short = House({"a/m": Upstream([Answer(plain("long"), wait=120.0)])})
        assert (await short.ask(max_tokens=10)).status == 504

    in_time(main())


def test_the_deadline_of_the_client_is_kept() -> None:
    async def main() -> None:
        house = House({"a/m": Upstream([Answer(plain(), wait=100.0)])})
        before = house.engine.clock()
        socket = await house.ask(headers={"x-llmrouter-timeout": "5"})
        assert (socket.status, socket.error["code"]) == (504, "deadline_exceeded")
        assert house.engine.clock() - before == pytest.approx(5.0, abs=0.1)

    in_time(main())


def test_a_stream_may_take_its_time_as_long_as_it_goes_on() -> None:
    async def main() -> None:
        slow = [step for word in ["one", "two", "three", "four", "five"] for step in (20.0, chunk(f"{word} "))]
        house = House({"a/m": Upstream([Answer([*slow, *streamed("six")])])})
        assert (await house.ask(stream=True)).text == "one two three four five six"

    in_time(main())


@pytest.mark.parametrize("piece", [b"x" * 1_000, chunk("word " * 200)])
def test_an_answer_larger_than_allowed_is_not_read_to_its_end(piece: bytes) -> None:
    async def main() -> None:
        huge: list[Any] = [piece] * 1_000
        house = House({"a/m": Upstream([Answer(huge)]), "b/m": good()}, settings=EngineSettings(max_answer=10_000))
        assert (await house.ask()).status == 200
        assert house.kinds == ["malformed_chunk", None]

    in_time(main())


# ---- records and cancelling


def test_a_record_is_data_through_and_through() -> None:
    async def main() -> None:
        house = House({"a/m": bad(), "b/m": good()})
        await house.ask()
        again = msgspec.json.decode(msgspec.json.encode(house.record), type=RequestRecord)
        assert again == house.record

    in_time(main())


def test_a_sink_that_raises_hurts_nobody() -> None:
    class Raising:
        def record(self, record: RequestRecord) -> None:
            raise RuntimeError("a bug in a sink")

    async def main() -> None:
        house = House({"a/m": good()})
        house.engine.sinks = [Raising(), house.records]
        assert (await house.ask()).status == 200
        assert house.record.outcome == "complete"

    in_time(main())


def test_a_client_that_leaves_ends_the_upstream_and_charges_nobody() -> None:
    async def main() -> None:
        house = House({"a/m": Upstream([Answer([chunk("a"), 100.0])])})
        task = asyncio.create_task(house.ask(stream=True))
        await asyncio.sleep(1)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert (house.record.outcome, house.kinds) == ("cancelled", ["cancelled"])
        assert house.engine.health.snapshot() == []
        house.assert_nothing_is_left()

    in_time(main())


def test_a_preview_decides_and_calls_nobody() -> None:
    async def main() -> None:
        house = House({"a/m": good(), "b/m": good()})
        decision = await house.engine.preview(house.request(), house.world)
        assert [one.candidate.endpoint for one in decision.plan] == ["a/m", "b/m"]
        assert not house.upstreams["a"].calls
        assert house.records.all == []

    in_time(main())


def test_a_socket_is_started_once() -> None:
    async def main() -> None:
        socket = Socket()
        await House({"a/m": bad(), "b/m": bad()}).ask(socket)
        assert socket.status == 502

    in_time(main())


def test_a_clients_dollars_that_are_used_up_are_its_own_limit() -> None:
    async def main() -> None:
        key = ClientKeySettings(name="dev", hash="", limits=(LimitSettings(unit="usd", amount=1e-9, window="day"),))
        dear = [endpoint("a/m", card=Card(price=Price(input=5, output=5)))]
        socket = await House({"a/m": good()}, endpoints=dear, keys=[key]).ask()
        assert (socket.status, "The limit of this key" in socket.error["message"]) == (429, True)

    in_time(main())


def test_a_name_with_control_characters_stands_escaped_in_the_headers() -> None:
    async def main() -> None:
        house = House({"a/*": good()}, endpoints=[endpoint(f"a/{ANY_MODEL}")], tiers=[["a/x"]])
        headers = (await house.ask(model="a/x\r\nevil: é" + "y" * 500)).headers
        assert headers["x-llmrouter-model"].startswith("x\\r\\nevil: \\xe9yyy")
        assert len(headers["x-llmrouter-model"]) < 250

    in_time(main())


def test_the_reason_says_what_stood_before_the_one_that_served() -> None:
    async def main() -> None:
        house = House({"a/m": bad(429, **{"retry-after": "30"}), "b/m": good()})
        assert (await house.ask()).headers["x-llmrouter-reason"].startswith("limit; ")
        well = House({"a/m": good(), "b/m": good()})
        assert (await well.ask()).headers["x-llmrouter-reason"].startswith("default; ")
        used_up = House({"a/m": good(), "b/m": good()}, providers=limited(requests=1), tiers=[["a/m"], ["b/m"]])
        await used_up.ask()
        assert (await used_up.ask()).headers["x-llmrouter-reason"].startswith("limit; ")

    in_time(main())


def test_a_counter_decides_what_fits_where_the_estimate_cannot() -> None:
    class Counter:
        def count(self, text: str, model: str) -> int | None:
            return 900

    async def main() -> None:
        small = endpoint("a/m", card=Card(window=1_000))
        asked = [{"role": "user", "content": "word " * 1_000}]
        house = House({"a/m": good()}, endpoints=[small])
        assert (await house.ask(messages=asked)).status == 400
        house.world = evolve(house.world, counter=Counter())
        assert (await house.ask(messages=asked)).status == 200
        assert house.record.facts.input_tokens == 900

    in_time(main())
