"""Several processes on one socket: starts workers, starts a crashed one again, passes signals on."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from asyncio.subprocess import Process
from collections.abc import Sequence
from contextlib import suppress

FIRST_WAIT = 0.5  # seconds before a crashed worker is started again; doubled each time
LONGEST_WAIT = 30.0
STEADY = 10.0  # seconds after which a worker counts as having started well
FINAL = (1, 2, 3)  # exit codes that starting again would not mend
SIGNALS = (signal.SIGINT, signal.SIGTERM)

log = logging.getLogger("llmrouter.server")


class Supervisor:
    """Keeps `count` processes of one command alive; each inherits the listening socket."""

    def __init__(self, command: Sequence[str], listener: socket.socket, count: int) -> None:
        self._command = command
        self._listener = listener
        self._count = count
        self._processes: set[Process] = set()
        self._ending = asyncio.Event()
        self._code = 0

    async def run(self) -> int:
        """Until a signal comes, or workers cannot even start. Returns the exit code."""
        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            loop.add_signal_handler(number, self._end, number)
        try:
            await asyncio.gather(*(self._keep(number) for number in range(self._count)))
        finally:
            for number in SIGNALS:
                loop.remove_signal_handler(number)
        return self._code

    async def _keep(self, number: int) -> None:
        wait, served = FIRST_WAIT, False
        while not self._ending.is_set():
            began = asyncio.get_running_loop().time()
            code = await self._one()
            steady = asyncio.get_running_loop().time() - began > STEADY
            served = served or steady
            if self._ending.is_set():
                return
            if code in FINAL and not served:
                self._code = code
                self._end(signal.SIGTERM)
                return
            wait = FIRST_WAIT if steady else min(wait * 2, LONGEST_WAIT)
            log.error("worker %d ended with %d; starting it again in %g s", number, code, wait)
            await self._pause(wait)

    async def _one(self) -> int:
        """One life of a worker."""
        process = await asyncio.create_subprocess_exec(
            *self._command,
            pass_fds=[self._listener.fileno()],
            stdin=asyncio.subprocess.PIPE,  # its end tells the worker that nobody looks after it any more
            process_group=0,  # a terminal's Ctrl-C comes here alone, and is passed on once
        )
        self._processes.add(process)
        if self._ending.is_set():
            process.terminate()
        try:
            return await process.wait()
        finally:
            self._processes.discard(process)

    async def _pause(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._ending.wait(), seconds)
        except TimeoutError:
            return

    def _end(self, number: signal.Signals) -> None:
        """Pass it on: each worker drains by itself. A second signal is passed on too, and hurries them."""
        if number == signal.SIGINT and not self._ending.is_set():
            self._code = 130
        self._ending.set()
        for process in self._processes:
            with suppress(ProcessLookupError):  # it ended by itself a moment ago
                process.send_signal(number)
