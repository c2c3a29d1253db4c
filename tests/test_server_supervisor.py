"""Several processes on one socket, seen from outside: real signals, real ends."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from pathlib import Path

import pytest

from llmrouter.server import supervisor
from llmrouter.server.runner import bind, loop_factory
from llmrouter.server.supervisor import Supervisor

SERVE = """
import os, signal, sys, time
open(f"{sys.argv[1]}/{os.getpid()}", "w").write(sys.argv[2])
def end(number, frame):
    open(f"{sys.argv[1]}/{os.getpid()}", "a").write(f" got {number}")
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
signal.signal(signal.SIGINT, end)
print("ready", flush=True)
time.sleep(60)
"""


def written(folder: Path) -> dict[int, str]:
    return {int(one.name): one.read_text() for one in folder.iterdir()}


async def until_there_are(count: int, folder: Path) -> list[int]:
    while len(written(folder)) < count:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)  # the handlers of signals are set right after
    return list(written(folder))


def command(script: str, *words: object) -> list[str]:
    return [sys.executable, "-S", "-c", script, *map(str, words)]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "FIRST_WAIT", 0.01)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_signal_ends_every_worker_by_the_same_signal(number: int, code: int, tmp_path: Path) -> None:
    async def main() -> int:
        with bind("127.0.0.1", 0) as listener:
            one = asyncio.create_task(Supervisor(command(SERVE, tmp_path, listener.fileno()), listener, 2).run())
            await until_there_are(2, tmp_path)
            os.kill(os.getpid(), number)
            return await asyncio.wait_for(one, 10)

    assert asyncio.run(main()) == code
    assert [text.partition(" ")[2] for text in written(tmp_path).values()] == [f"got {int(number)}"] * 2


def test_a_worker_that_dies_is_started_again(tmp_path: Path, quick: None, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> int:
        with bind("127.0.0.1", 0) as listener:
            one = asyncio.create_task(Supervisor(command(SERVE, tmp_path, listener.fileno()), listener, 1).run())
            [first] = await until_there_are(1, tmp_path)
            os.kill(first, signal.SIGKILL)
            await until_there_are(2, tmp_path)
            os.kill(os.getpid(), signal.SIGTERM)
            return await asyncio.wait_for(one, 10)

    assert asyncio.run(main()) == 0
    assert "worker 0 ended with -9" in caplog.text


@pytest.mark.parametrize("code", supervisor.FINAL)
def test_workers_that_cannot_even_start_end_it_with_their_code(code: int) -> None:
    async def main() -> int:
        with bind("127.0.0.1", 0) as listener:
            script = f"import sys; sys.exit({code})"
            return await asyncio.wait_for(Supervisor(command(script), listener, 2).run(), 10)

    assert asyncio.run(main()) == code


def test_a_worker_that_waits_to_be_started_again_does_not_hold_up_the_end(tmp_path: Path) -> None:
    async def main() -> int:
        with bind("127.0.0.1", 0) as listener:
            script = "import sys; open(sys.argv[1] + '/1', 'w'); sys.exit(9)"
            one = asyncio.create_task(Supervisor(command(script, tmp_path), listener, 1).run())
            await until_there_are(1, tmp_path)
            os.kill(os.getpid(), signal.SIGTERM)
            return await asyncio.wait_for(one, 10)

    assert asyncio.run(main()) == 0


def test_the_socket_can_be_inherited_and_is_of_the_right_family() -> None:
    with bind("127.0.0.1", 0) as four, bind("::1", 0) as six:
        assert (four.family, six.family) == (socket.AF_INET, socket.AF_INET6)
        with pytest.raises(OSError):  # noqa: PT011 - the number of the error differs
            bind("127.0.0.1", four.getsockname()[1])


def test_the_fast_loop_is_used_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    uvloop = pytest.importorskip("uvloop")
    assert loop_factory() is uvloop.new_event_loop
    monkeypatch.setitem(sys.modules, "uvloop", None)
    assert loop_factory() is None
