"""Comments to a client that waits: none where something else is being said, and none left behind."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from attrs import evolve

from llmrouter.settings import EngineSettings, StreamSettings
from llmrouter.testing import VirtualLoop, run
from tests.counting import SlowSocket
from tests.house import Answer, House, Socket, Upstream, chunk, error, streamed

EVERY = 1.0


def house(*answers: Answer) -> House:
    settings = EngineSettings(stream=StreamSettings(keep_alive=EVERY))
    return House({"a/m": Upstream(answers)}, settings=settings)


class Blocked(Socket):
    """Its client reads nothing any more."""

    async def write(self, data: bytes) -> None:
        await super().write(data)
        await asyncio.Event().wait()


@pytest.mark.parametrize("moment", [0.9 * EVERY, EVERY, 1.1 * EVERY])
def test_no_comment_gets_into_a_refusal(moment: float) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        socket = SlowSocket()
        task = asyncio.create_task(house(evolve(error(400), wait=moment)).ask(socket, stream=True))
        await asyncio.sleep(EVERY / 2)
        loop.now += EVERY  # the loop was busy: the failure and the comment are due at once
        await task
        await asyncio.sleep(5)
        if socket.status == 400:
            assert "error" in msgspec.json.decode(socket.body)
        else:
            assert socket.status == 200, "opened by the comment"
            assert socket.body.startswith(b': keep-alive\n\ndata: {"error"')
        assert socket.body.count(b"keep-alive") == (socket.status == 200)
        assert len(asyncio.all_tasks()) == 1

    run(main())


def test_a_client_that_does_not_read_gets_one_comment_and_leaves_no_task() -> None:
    async def main() -> None:
        socket = Blocked()
        task = asyncio.create_task(house(Answer([100.0])).ask(socket, stream=True))
        await asyncio.sleep(7 * EVERY)
        assert socket.writes == 1
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await asyncio.sleep(0)
        assert len(asyncio.all_tasks()) == 1

    run(main())


def test_a_stream_that_flows_has_no_comments_and_each_silence_has_its_own() -> None:
    async def main() -> None:
        flows = Answer([step for _ in range(9) for step in (chunk("x"), 0.7 * EVERY)] + streamed("!"))
        socket = await house(flows).ask(Socket(), stream=True)
        assert (socket.body.count(b"keep-alive"), socket.text) == (0, 9 * "x" + "!")
        halts = Answer([chunk("x"), 2.5 * EVERY, chunk("x"), 1.5 * EVERY, *streamed("!")])
        socket = await house(halts).ask(Socket(), stream=True)
        assert (socket.body.count(b"keep-alive"), socket.text) == (3, "xx!")

    run(main())
