"""Where requests of one group wait for a limit to pass: in turn, fairly, and no longer than it makes sense.

One of those who wait is the head. It alone looks again: when the first of its holds ends, or when something ended
that may have freed a limit. Nothing here is a task and nothing polls. However a place is left, also by a cancel,
the look is handed on to the next.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from types import TracebackType

from llmrouter.dialects.hints import PRIORITIES
from llmrouter.protocols import Clock
from llmrouter.settings import QueueSettings

PAUSE = 0.01
"""Seconds between two looks of a head: a hold that says "now" and means "not yet" must not spin the loop."""

Lines = OrderedDict[str, deque["Place"]]
"""The places of one priority, by tenant; the tenant whose turn is next comes first."""


class Queues:
    """The queue of each group. One in which nobody waits any more is forgotten when something ends."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._queues: dict[str, Queue] = {}

    def __len__(self) -> int:
        return len(self._queues)

    def of(self, group: str, settings: QueueSettings) -> Queue:
        """The group's queue, from now on with these settings."""
        found = self._queues.get(group)
        if found is None:
            found = self._queues[group] = Queue(settings, self._clock)
        found.settings = settings
        return found

    def waiting(self, group: str) -> int:
        """How many wait in a group."""
        queue = self._queues.get(group)
        return len(queue) if queue else 0

    def released(self) -> None:
        """Something ended: the limits of an account are those of every group that it serves."""
        if self._queues:
            self._queues = {group: queue for group, queue in self._queues.items() if len(queue)}
            for queue in self._queues.values():
                queue.released()


class Queue:
    """Who waits in one group. At most one of them is the head, and only the head is told to look."""

    def __init__(self, settings: QueueSettings, clock: Clock) -> None:
        self.settings, self.clock = settings, clock
        self.head: Place | None = None
        self._lines: tuple[Lines, ...] = tuple(OrderedDict() for _ in PRIORITIES)
        self._size = 0
        self._due = False  # something changed since the head began to look

    def __len__(self) -> int:
        return self._size

    def join(self, tenant: str, priority: str = "normal") -> Place | None:
        """A place behind the tenant's others of this priority, one of `PRIORITIES`. None: the queue is full."""
        rank = PRIORITIES.index(priority)
        if self._size >= self.settings.depth and not self._make_room(tenant, rank):
            return None
        place = Place(self, tenant, self._lines[rank])
        self._lines[rank].setdefault(tenant, deque()).append(place)
        self._size += 1
        self.elect()
        return place

    def released(self) -> None:
        """Something ended that may have freed a limit: the head looks again, after the look it is at."""
        if self.head:
            self._due = True
            self.elect()

    # ---- for places -----------------------------------------------------------------------------

    def worth_waiting(self, place: Place) -> bool:
        """Whether a place that has looked in vain should wait on. What the head has found says it to all."""
        if place.until <= self.clock():
            return False
        if place is self.head:
            if self._due:
                return True
            self._flush(place.retry_at)
        ahead = self.head.retry_at if self.head and self.head.waits else 0.0
        return max(place.retry_at, ahead) <= place.until

    def leave(self, place: Place) -> None:
        """Take a place out. After the head's, the next tenant of its priority has the turn, and looks at once."""
        lines, tenant = place.lines, place.tenant
        lines[tenant].remove(place)
        self._size -= 1
        if not lines[tenant]:
            del lines[tenant]
        elif place is self.head:
            lines.move_to_end(tenant)
        if place is self.head:
            self.head, self._due = None, True
            self.elect()

    def elect(self) -> None:
        """Make the first of all the head, unless a head is looking, and hand it the look that is due."""
        if self.head and not self.head.waits:
            return
        before, self.head = self.head, self._first()
        if self.head is not before:
            for place in (before, self.head):
                if place:
                    place.set_timer()
        if self.head is None:
            self._due = False
        elif self._due and self.head.waits:
            self._due = False
            self.head.wake(True)

    # ---- inside ---------------------------------------------------------------------------------

    def _first(self) -> Place | None:
        return next((line[0] for lines in self._lines for line in lines.values()), None)

    def _flush(self, retry_at: float) -> None:
        """Nothing is free before then: who may not wait as long need not wait at all."""
        places = [place for lines in self._lines for line in lines.values() for place in line]
        for place in places:
            if place.waits and place.until < retry_at:
                place.give_up()

    def _make_room(self, tenant: str, rank: int) -> bool:
        """Full: the last of a lower priority gives way, or the last of a crowd to a tenant with fewer."""
        for lower in range(len(self._lines) - 1, rank - 1, -1):
            lines = self._lines[lower]
            fewest = len(lines.get(tenant, ())) + 1 if lower == rank else 0
            others = [line for line in lines.values() if len(line) > fewest and line[-1] is not self.head]
            if others:
                max(others, key=len)[-1].give_up()
                return True
        return False


class Place:
    """A request's place in a queue; a context manager, so that it is left however the wait ends."""

    def __init__(self, queue: Queue, tenant: str, lines: Lines) -> None:
        self.tenant, self.lines = tenant, lines
        self.joined = self.until = self.retry_at = queue.clock()
        self._queue = queue
        self._left = False
        self._woken: asyncio.Future[bool] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> Place:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._leave()

    async def turn(self, retry_at: float, until: float) -> bool:
        """Wait for the turn to look again. False: waiting on makes no sense, and the place is lost.

        `retry_at` is when the first hold ends that this request has met, `until` when the request must have an
        answer, if that is sooner than the queue's `max_wait`; both on the engine's clock.
        """
        queue = self._queue
        self.until = min(until, self.joined + queue.settings.max_wait)
        self.retry_at = max(retry_at, queue.clock() + PAUSE)
        if self._left or not queue.worth_waiting(self):
            self._leave()
            return False
        self._woken = asyncio.get_running_loop().create_future()
        try:
            queue.elect()
            self.set_timer()
            return await self._woken
        finally:
            self._stop_timer()
            self._woken = None

    @property
    def waited(self) -> float:
        """Seconds since it joined."""
        return self._queue.clock() - self.joined

    # ---- for its queue --------------------------------------------------------------------------

    @property
    def waits(self) -> bool:
        """Whether it waits for its turn now. If not, it is looking, or about to."""
        return self._woken is not None and not self._woken.done()

    def wake(self, turn: bool) -> None:
        if self._woken and not self._woken.done():
            self._woken.set_result(turn)

    def give_up(self) -> None:
        self._leave()
        self.wake(False)

    def set_timer(self) -> None:
        """The head's hold ends; the others' patience does."""
        self._stop_timer()
        if self.waits:
            at = self.retry_at if self._queue.head is self else self.until
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(loop.time() + at - self._queue.clock(), self._due)

    # ---- inside ---------------------------------------------------------------------------------

    def _due(self) -> None:
        if self._queue.head is self:
            self.wake(True)
        else:
            self.give_up()

    def _stop_timer(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def _leave(self) -> None:
        if not self._left:
            self._left = True
            self._queue.leave(self)
