"""Who waits for a limit, in which order, for how long: all in virtual time."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from llmrouter.engine.queue import PAUSE, Place, Queue, Queues
from llmrouter.settings import QueueSettings
from llmrouter.testing import run

DAY = 86_400.0


def now() -> float:
    return asyncio.get_running_loop().time()


def queue(depth: int = 64, max_wait: float = DAY) -> Queue:
    return Queue(QueueSettings(depth=depth, max_wait=max_wait), now)


class Hall:
    """Requests that wait in one queue for slots that are freed one by one."""

    def __init__(self, queue: Queue, retry_in: float = DAY / 2) -> None:
        self.queue, self.retry_in = queue, retry_in
        self.slots = 0
        self.looked: list[str] = []
        self.served: list[str] = []
        self.lost: list[tuple[str, float]] = []  # who, after how many seconds
        self.full: list[str] = []
        self.tasks: dict[str, asyncio.Task[None]] = {}

    def enter(self, *names: str, priority: str = "normal", patience: float = DAY) -> None:
        """`a1` is a request of the tenant a."""
        for name in names:
            self.tasks[name] = asyncio.create_task(self._request(name, priority, patience))

    async def _request(self, name: str, priority: str, patience: float) -> None:
        started = now()
        place = self.queue.join(name[0], priority)
        if place is None:
            self.full.append(name)
            return
        with place:
            while await place.turn(now() + self.retry_in, started + patience):
                self.looked.append(name)
                assert len(self.looked) < 1_000, "it spins"
                await asyncio.sleep(0)  # a look at a store may wait
                if self.slots:
                    self.slots -= 1
                    self.served.append(name)
                    return
        self.lost.append((name, now() - started))

    async def free(self, slots: int = 1) -> None:
        for _ in range(slots):
            self.slots += 1
            self.queue.released()
            await asyncio.sleep(1)

    async def end(self) -> None:
        for task in self.tasks.values():
            task.cancel()
        await asyncio.gather(*self.tasks.values(), return_exceptions=True)
        assert_empty(self.queue)


def assert_empty(queue: Queue) -> None:
    assert len(queue) == 0
    assert queue.head is None
    assert not any(queue._lines)
    assert not queue._due


def hall(story: Callable[[Hall], Coroutine[Any, Any, None]], depth: int = 64, max_wait: float = DAY) -> Hall:
    async def told() -> Hall:
        one = Hall(queue(depth, max_wait))
        await story(one)
        await one.end()
        return one

    return run(told())


def test_first_in_first_out_and_one_look_for_each_release() -> None:
    async def story(one: Hall) -> None:
        one.enter("a1", "a2", "a3")
        await asyncio.sleep(1)
        await one.free(3)

    told = hall(story)
    assert told.served == ["a1", "a2", "a3"]
    assert told.looked == ["a1", "a2", "a2", "a3", "a3"], "who comes after the head looks at once, then waits"


def test_the_head_looks_again_when_its_hold_ends() -> None:
    async def story(one: Hall) -> None:
        one.retry_in = 3.0
        one.enter("a1")
        await asyncio.sleep(2.9)
        one.slots = 1
        assert not one.looked
        await asyncio.sleep(0.2)

    assert hall(story).served == ["a1"]


def test_a_crowd_alternates_with_the_few() -> None:
    async def story(one: Hall) -> None:
        one.enter(*(f"a{turn}" for turn in range(90)))
        await asyncio.sleep(1)
        one.enter(*(f"b{turn}" for turn in range(10)))
        await asyncio.sleep(1)
        await one.free(30)

    told = hall(story, depth=100)
    assert [name[0] for name in told.served[:20]] == ["a", "b"] * 10
    assert told.served[20:] == [f"a{turn}" for turn in range(10, 20)], "alone again, it has every turn"
    assert [name for name in told.served if name[0] == "b"] == [f"b{turn}" for turn in range(10)]


def test_who_comes_one_at_a_time_starves_nobody() -> None:
    async def story(one: Hall) -> None:
        one.enter("a1", "a2", "a3", "a4")
        for turn in range(8):
            one.enter(f"b{turn}")
            await one.free()

    assert [name[0] for name in hall(story).served] == ["a", "b", "a", "b", "a", "b", "a", "b"]


def test_higher_priorities_go_first_and_displace_a_head_that_waits() -> None:
    async def story(one: Hall) -> None:
        one.enter("l1", "l2", priority="low")
        await asyncio.sleep(1)
        one.enter("n1")
        await asyncio.sleep(1)
        one.enter("h1", "h2", priority="high")
        await asyncio.sleep(1)
        await one.free(5)

    assert hall(story).served == ["h1", "h2", "n1", "l1", "l2"]


def test_a_head_that_looks_is_not_displaced() -> None:
    async def story() -> None:
        line = queue()
        low = line.join("a", "low")
        assert low
        look = asyncio.create_task(low.turn(now() + 5, now() + 60))
        await asyncio.sleep(0)
        line.released()
        assert await look
        high = line.join("b", "high")
        assert high
        assert line.head is low
        wait = asyncio.create_task(high.turn(now() + 60, now() + 60))
        await asyncio.sleep(0)
        assert not wait.done()
        again = asyncio.create_task(low.turn(now() + 5, now() + 60))  # in vain: now it is the other's turn
        await asyncio.sleep(0)
        assert line.head is high
        with low, high:
            line.released()
            assert await wait
        assert await again, "the one that was displaced is the head once more, and looks"
        assert_empty(line)

    run(story())


def test_a_displaced_head_has_its_own_patience_still() -> None:
    async def story(one: Hall) -> None:
        one.retry_in = 5.0
        one.enter("l1", priority="low", patience=8.0)
        await asyncio.sleep(1)
        one.retry_in = 0.5  # never so long that the other had to give up
        one.enter("h1", priority="high", patience=100.0)
        await asyncio.sleep(20)

    told = hall(story)
    assert dict(told.lost) == {"l1": pytest.approx(8.0, abs=0.51)}
    assert "l1" not in told.looked


@pytest.mark.parametrize(("max_wait", "patience", "lost"), [(5.0, DAY, 5.0), (DAY, 3.0, 3.0)])
def test_nobody_waits_longer_than_the_queue_or_the_request_allows(
    max_wait: float, patience: float, lost: float
) -> None:
    async def story(one: Hall) -> None:
        one.retry_in = 1.0
        one.enter("a1", "a2", patience=patience)
        await asyncio.sleep(10)

    told = hall(story, max_wait=max_wait)
    assert dict(told.lost) == {
        "a1": pytest.approx(lost, abs=1.0),  # it looks once a second, and not once more when that would be too late
        "a2": pytest.approx(lost, abs=1e-6),
    }


def test_a_hold_that_ends_too_late_is_not_waited_for() -> None:
    async def story() -> None:
        line = queue(max_wait=5.0)
        place = line.join("a")
        assert place
        assert not await place.turn(now() + 5.1, now() + DAY)
        assert_empty(line)
        assert not await place.turn(now(), now() + DAY), "it is lost for good"

    run(story())


def test_a_long_hold_of_the_head_flushes_those_behind_it_at_once() -> None:
    async def story(one: Hall) -> None:
        one.retry_in = 2.0
        one.enter("a1", "a2", "b1", patience=5.0)
        one.enter("c1", patience=70.0)
        await asyncio.sleep(1)
        one.retry_in = 60.0
        await asyncio.sleep(1.5)
        assert {name for name, _ in one.lost} == {"a1", "a2", "b1"}
        assert all(after == pytest.approx(2.0, abs=0.01) for _, after in one.lost)
        one.retry_in = 2.0  # what it has met itself would let it wait
        one.enter("d1", patience=5.0)
        await asyncio.sleep(0.5)
        assert one.lost[-1] == ("d1", 0.0), "who comes later need not wait either"
        await one.free()

    assert hall(story).served == ["c1"]


def test_a_release_during_a_look_is_not_missed() -> None:
    async def story() -> None:
        line = queue()
        place = line.join("a")
        assert place
        with place:
            line.released()
            at = now()
            assert await place.turn(now() + 60, now() + 30), "even when its hold would end too late"
            assert now() == at
            assert not await place.turn(now() + 60, now() + 30)
        assert_empty(line)

    run(story())


def test_a_hold_that_ends_now_does_not_spin() -> None:
    async def story(one: Hall) -> None:
        one.retry_in = 0.0
        one.enter("a1", patience=1.0)
        await asyncio.sleep(2)

    assert len(hall(story).looked) <= 1.0 / PAUSE


def test_full_is_full() -> None:
    async def story(one: Hall) -> None:
        one.enter("a1", "b1", "c1", "d1")
        await asyncio.sleep(0)
        assert len(one.queue) == 3

    assert hall(story, depth=3).full == ["d1"]
    assert hall(story, depth=3).lost == []


def test_no_depth_no_queue() -> None:
    async def story() -> None:
        assert queue(depth=0).join("a", "high") is None

    run(story())


def test_when_it_is_full_the_last_of_a_crowd_gives_way() -> None:
    async def story(one: Hall) -> None:
        one.enter("a1", "a2", "a3", "a4")
        await asyncio.sleep(1)
        one.enter("b1", "b2", "b3", "a5")
        await asyncio.sleep(1)
        assert one.lost == [("a4", 1.0), ("a3", 1.0)]
        assert one.full == ["b3", "a5"], "two and two are no crowd"
        await one.free(4)

    assert hall(story, depth=4).served == ["a1", "b1", "a2", "b2"]


def test_when_it_is_full_a_lower_priority_gives_way_but_not_its_head() -> None:
    async def story(one: Hall) -> None:
        one.enter("a1", "b1", priority="low")
        await asyncio.sleep(1)
        one.enter("c1", "d1", "e1")
        await asyncio.sleep(1)
        assert [name for name, _ in one.lost] == ["b1", "a1"], "one that was displaced is a head no more"
        assert one.full == ["e1"]

    hall(story, depth=2)


def test_the_head_is_nobodys_to_push_out() -> None:
    async def story() -> None:
        line = queue(depth=1)
        place = line.join("a", "low")
        assert place
        assert line.join("b", "high") is None
        with place:
            pass
        assert_empty(line)

    run(story())


def test_it_says_how_long_a_place_has_waited() -> None:
    async def story() -> None:
        place = queue().join("a")
        assert place
        with place:
            assert await place.turn(now() + 2.5, now() + 5)
            assert place.waited == pytest.approx(2.5)

    run(story())


def test_its_clock_may_be_another_than_the_loops() -> None:
    async def story() -> None:
        def clock() -> float:
            return now() - 1e6

        place = Queue(QueueSettings(), clock).join("a")
        assert place
        with place:
            at = now()
            assert await place.turn(clock() + 2.0, clock() + 5.0)
            assert now() - at == pytest.approx(2.0, abs=1e-5)

    run(story())


def test_a_group_has_one_queue_as_long_as_somebody_waits() -> None:
    async def story() -> None:
        queues = Queues(now)
        queues.released()
        line = queues.of("fast", QueueSettings(depth=1))
        place, other = line.join("a"), queues.of("smart", QueueSettings()).join("b")
        assert place
        assert other
        del line
        assert queues.of("fast", QueueSettings(depth=2)).join("b"), "with the settings of now"
        for one in (place, other):
            turn = asyncio.create_task(one.turn(now() + 60, now() + 60))
            await asyncio.sleep(0)
            queues.released()
            await asyncio.sleep(0)
            assert turn.done()

    run(story())


def test_queues_are_forgotten_without_the_garbage_collector() -> None:
    async def story() -> None:
        queues = Queues(now)
        gc.disable()
        try:
            for turn in range(50):
                one = Hall(queues.of(f"group-{turn}", QueueSettings()))
                one.enter("a1", "b1")
                await one.free(1)
                await one.end()
                del one
                assert len(queues) == 1
                queues.released()
                assert len(queues) == 0
        finally:
            gc.enable()

    run(story())


# ---- cancelled at any step ----------------------------------------------------------------------


async def swept(steps: int, who: str, twice: bool) -> bool:
    """Cancel one of four after so many steps. True if it had ended by itself."""
    one = Hall(queue())
    one.enter("a1", "a2", "b1")
    one.enter("h1", priority="high")
    helper = asyncio.create_task(_helped(one))
    for _ in range(steps):
        await asyncio.sleep(0)
    victim = one.tasks[who]
    ended = victim.done()
    victim.cancel()
    if twice:
        await asyncio.sleep(0)
        victim.cancel()
    await helper
    for _ in range(8):  # whatever the victim took with it, the others can be served
        await one.free()
    assert {*one.served} >= {"a1", "a2", "b1", "h1"} - {who}, "the turn was lost with the one that left"
    assert_empty(one.queue)
    assert len(asyncio.all_tasks()) == 1, "a task is left"
    loop: Any = asyncio.get_running_loop()
    assert all(timer.cancelled() for timer in loop._scheduled), "a timer is left"
    return ended


async def _helped(one: Hall) -> None:
    for _ in range(6):
        await asyncio.sleep(0)
        one.slots += 1
        one.queue.released()
        await asyncio.sleep(0)


@pytest.mark.parametrize("twice", [False, True])
@pytest.mark.parametrize("who", ["a1", "a2", "b1", "h1"])
def test_a_wait_cancelled_after_every_step_leaves_no_trace(who: str, twice: bool) -> None:
    alive = next(steps for steps in range(100) if run(swept(steps, who, twice)))
    assert alive > 2


def test_a_place_is_left_by_any_exception() -> None:
    async def story() -> None:
        line = queue()

        async def fails(place: Place) -> None:
            with place:
                raise KeyError("a bug in a look")

        place, other = line.join("a"), line.join("b")
        assert place
        assert other
        with pytest.raises(KeyError):
            await fails(place)
        assert line.head is other
        assert await other.turn(now() + 60, now() + 60), "the next looks at once"

    run(story())
