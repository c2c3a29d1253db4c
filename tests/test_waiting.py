"""Requests that wait in the queue of their group for a limit to pass."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from llmrouter.errors import TransportError
from llmrouter.protocols import Reply
from llmrouter.settings import EngineSettings, LimitSettings, ProviderSettings, QueueSettings
from llmrouter.testing import run
from llmrouter.types import Attempt, Call
from tests.house import Answer, House, Socket, Upstream, error, plain, streamed

DEFAULT = EngineSettings()
ONE = (LimitSettings(unit="concurrent", amount=1, window=""),)


@asynccontextmanager
async def limited(
    *limits: LimitSettings, seconds: float = 1.0, settings: EngineSettings = DEFAULT
) -> AsyncIterator[House]:
    entry = ProviderSettings(name="a", plugin="fake", limits=limits)
    house = House({"a/m": Upstream([Answer([seconds, *plain("ok")])])}, providers={"a": entry}, settings=settings)
    telling = asyncio.create_task(house.engine.quota.run())
    try:
        yield house
    finally:
        telling.cancel()


def test_requests_over_a_limit_of_concurrency_are_served_one_after_the_other() -> None:
    async def main() -> None:
        async with limited(*ONE) as house:
            order: list[object] = []

            async def ask(number: int) -> Socket:
                socket = await house.ask()
                order.append(number)
                return socket

            before = house.engine.clock()
            sockets = await asyncio.gather(*(ask(number) for number in range(4)))
            assert [socket.status for socket in sockets] == [200] * 4
            assert order == [0, 1, 2, 3]
            assert house.engine.clock() - before == pytest.approx(4.0, abs=0.9)
            assert float(sockets[3].headers["x-llmrouter-queued-ms"]) == pytest.approx(3_000, abs=900)
            assert house.record.queued == pytest.approx(3.0, abs=0.9)
            house.assert_nothing_is_left()

    run(main())


def test_who_would_wait_too_long_is_told_so() -> None:
    async def main() -> None:
        async with limited(*ONE, seconds=20.0) as house:
            before = house.engine.clock()
            sockets = await asyncio.gather(*(house.ask() for _ in range(3)))
            assert [socket.status for socket in sockets] == [200, 429, 429]
            assert sockets[1].error["code"] == "queue_timeout"
            assert int(sockets[1].headers["retry-after"]) >= 1
            assert house.records.all[0].ended - before <= 5.1

    run(main())


def test_a_limit_that_is_far_off_is_not_waited_for() -> None:
    async def main() -> None:
        async with limited(LimitSettings(unit="requests", amount=1, window="day"), seconds=0.0) as house:
            await house.ask()
            before = house.engine.clock()
            socket = await house.ask()
            assert socket.status == 429
            assert socket.error["code"] == "rate_limit_exceeded"
            assert house.engine.clock() <= before + 1.0, "until the store knows what was spent"

    run(main())


def test_a_full_queue_refuses_at_once() -> None:
    async def main() -> None:
        async with limited(*ONE, settings=EngineSettings(queue=QueueSettings(depth=2))) as house:
            sockets = await asyncio.gather(*(house.ask() for _ in range(5)))
            codes = sorted(socket.error["code"] for socket in sockets if socket.status == 429)
            assert codes == ["queue_full", "queue_full"]
            assert sum(socket.status == 200 for socket in sockets) == 3

    run(main())


def test_a_patient_group_waits_until_the_window_ends() -> None:
    async def main() -> None:
        patient = EngineSettings(queue=QueueSettings(max_wait=90.0))
        async with limited(
            LimitSettings(unit="requests", amount=2, window="minute"), seconds=0.0, settings=patient
        ) as house:
            sockets = await asyncio.gather(*(house.ask() for _ in range(6)))
            assert [socket.status for socket in sockets] == [200] * 6  # two in each of three windows

    run(main())


def test_who_waits_leaves_for_whatever_is_free_first() -> None:
    async def main() -> None:
        house = House({"a/m": Upstream([Answer(plain("a"))]), "b/m": Upstream([Answer(plain("b"))])})
        for id, seconds in (("a/m", 4.0), ("b/m", 2.0)):
            house.engine.health.hold_until(f"endpoint:{id}", house.engine.clock() + seconds, "cooling")
        socket = await house.ask()
        assert socket.text == "b"
        assert house.record.queued == pytest.approx(2.0, abs=0.5)
        skips = [step for step in house.record.steps if type(step).__name__ == "Skip"]
        assert len(skips) == 2, "looked at again, recorded once"

    run(main())


def test_clients_take_turns_and_priority_goes_first() -> None:
    async def main() -> None:
        async with limited(*ONE, settings=EngineSettings(queue=QueueSettings(max_wait=60.0))) as house:
            order: list[object] = []

            async def ask(client: str, **headers: str) -> None:
                request = house.request(headers, client=client)
                await house.engine.serve(request, house.world, Socket())
                order.append(client)

            many = [ask("crowd") for _ in range(5)]
            await asyncio.gather(*many, ask("lone"), ask("urgent", **{"x-llmrouter-priority": "high"}))
            assert order[0] == "crowd"
            assert set(order[1:4]) == {"urgent", "crowd", "lone"}
            assert order.index("urgent") < 3
            assert order.index("lone") < 4

    run(main())


def test_who_leaves_the_queue_leaves_nothing_behind() -> None:
    async def main() -> None:
        async with limited(*ONE, seconds=3.0) as house:
            tasks = [asyncio.create_task(house.ask()) for _ in range(4)]
            await asyncio.sleep(0.5)
            for task in tasks[1:3]:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            assert [record.outcome for record in house.records.all].count("cancelled") == 2
            assert [record.outcome for record in house.records.all].count("complete") == 2
            assert not len(house.engine.queues.of("all", QueueSettings()))
            house.assert_nothing_is_left()

    run(main())


def test_who_comes_later_does_not_take_what_others_wait_for() -> None:
    async def main() -> None:
        async with limited(*ONE, seconds=2.0) as house:
            order: list[str] = []

            async def ask(name: str) -> None:
                await house.ask()
                order.append(name)

            first = [asyncio.create_task(ask(name)) for name in ("first", "second")]
            await asyncio.sleep(0.5)
            house.engine.quota._holdings.clear()  # the limit is free again, and nobody was told
            late = asyncio.create_task(ask("late"))
            await asyncio.gather(*first, late)
            assert order == ["first", "second", "late"]

    run(main())


def test_who_has_waited_until_no_time_is_left_for_an_answer_is_told_what_failed() -> None:
    async def main() -> None:
        slow = error(500)
        slow.wait = 0.5
        house = House({"a/m": Upstream([Answer(plain("never"))]), "b/m": Upstream([slow])})
        usual = house.world.endpoint("a/m")
        house.engine.health.begin(usual, usual.accounts[0]).end(None, 6.0, stream=False)
        house.engine.health.hold_until("endpoint:a/m", house.engine.clock() + 2.0, "cooling")
        socket = await house.ask(headers={"x-request-timeout": "7"})
        assert socket.status == 502
        assert house.kinds == ["server_error", "server_error", "cooling"]
        assert not house.upstreams["a"].calls

    run(main())


@pytest.mark.parametrize("failing", [error(500), error(503), TransportError("connect", "refused")], ids=repr)
def test_what_failed_is_called_once_more_where_nothing_else_is_left(failing: Answer | Exception) -> None:
    async def main() -> None:
        upstreams = {
            "a/m": Upstream([failing, Answer(plain("a"))]),
            "b/m": Upstream([failing, failing, Answer(plain("b"))]),
        }
        house = House(upstreams)
        assert (await house.ask()).text == "a"
        assert [step.role for step in house.record.steps if isinstance(step, Attempt)][-1] == "repeat"
        assert house.record.queued > 0
        assert len(house.upstreams["a"].calls) == 2

    run(main())


def test_a_limit_met_by_this_request_is_waited_for_like_any_other() -> None:
    async def main() -> None:
        upstreams = {
            "a/m": Upstream([error(429, **{"retry-after": "4"}), Answer(plain("a"))]),
            "b/m": Upstream([TransportError("connect", "refused")]),
        }
        house = House(upstreams, settings=EngineSettings(wait_max=0.0))
        assert (await house.ask()).text == "a"
        assert house.record.queued == pytest.approx(4.0, abs=0.5)

    run(main())


def test_silence_is_not_asked_again() -> None:
    async def main() -> None:
        house = House({"a/m": Upstream([TransportError("timeout_headers", "silent")])})
        assert (await house.ask()).status == 504
        assert len(house.upstreams["a"].calls) == 1

    run(main())


def test_who_waits_for_what_failed_stands_in_nobodys_way() -> None:
    async def main() -> None:
        wide = (LimitSettings(unit="concurrent", amount=100, window=""),)
        house = House(
            {id: Upstream([error(500), Answer(plain("ok"))]) for id in ("a/m", "b/m")},
            providers={name: ProviderSettings(name=name, plugin="fake", limits=wide) for name in "ab"},
        )
        unlucky = asyncio.create_task(house.ask())
        await asyncio.sleep(0.1)
        before = house.engine.clock()
        assert (await house.ask()).text == "ok"
        assert house.engine.clock() == before
        assert not unlucky.done()
        assert (await unlucky).text == "ok"

    run(main())


@pytest.mark.parametrize("failing", [error(500), error(503), TransportError("connect", "refused")], ids=repr)
def test_in_an_outage_the_fallback_speaks_within_seven_tenths_of_a_second(failing: Answer | Exception) -> None:
    """The repeat of the first tier included; peers are tried at once."""

    class Listening(Socket):
        first = 0.0

        async def write(self, data: bytes) -> None:
            self.first = self.first or asyncio.get_running_loop().time()
            await super().write(data)

    async def main() -> None:
        for seed in range(50):
            upstreams = {"a/m": Upstream([failing]), "b/m": Upstream([Answer([0.05, *streamed("ok")])])}
            house = House(upstreams, tiers=[["a/m"], ["b/m"]], seed=seed)
            socket, before = Listening(), house.engine.clock()
            await house.ask(socket, stream=True)
            assert socket.text == "ok"
            assert socket.first - before <= 0.7

    run(main())


def test_the_oldest_go_first_where_many_wait_for_an_upstreams_limit() -> None:
    taken: Counter[int] = Counter()

    class Window(Upstream):
        """Takes two calls in ten seconds, and says when the next ten begin."""

        async def send(self, call: Call) -> Reply:
            window = int(self.clock() // 10)
            taken[window] += 1
            if taken[window] > 2:
                return error(429, **{"retry-after": str((window + 1) * 10 - self.clock())})
            return Answer(plain("ok"))

    async def main() -> None:
        settings = EngineSettings(attempts=30, wait_max=0.0, queue=QueueSettings(max_wait=300.0))
        house, order = House({"a/m": Window([])}, settings=settings), []

        async def ask(number: int) -> None:
            await asyncio.sleep(number * 0.45)
            assert (await house.ask()).text == "ok"
            order.append(number)

        await asyncio.gather(*map(ask, range(20)))
        assert order == sorted(order)

    run(main())
