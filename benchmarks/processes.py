"""Processes that are measured: started on a core of their own, watched through /proc, ended with their children."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from attrs import define, field

CORES = sorted(os.sched_getaffinity(0))
TOOLS_CORE, PEER_CORE = CORES[0], CORES[-1]
"""Where the mock and the load generator run, and where the measured gateway does."""

PROC = Path("/proc")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@define(eq=False)
class Process:
    """A running command, with everything it starts."""

    command: Sequence[str | Path]
    core: int
    log: Path
    env: Mapping[str, str] = field(factory=dict)
    cwd: Path | None = None
    _popen: subprocess.Popen[bytes] = field(init=False)

    def __attrs_post_init__(self) -> None:
        pinned = ["taskset", "-c", str(self.core), *map(str, self.command)]
        with self.log.open("wb") as log:
            self._popen = subprocess.Popen(
                pinned,
                env={**os.environ, "PYTHONDONTWRITEBYTECODE": "", **self.env},  # Python's starts are compared, too
                cwd=self.cwd,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # so that `stop` reaches the whole tree, and nobody else
            )

    @property
    def ended(self) -> bool:
        return self._popen.poll() is not None

    def stop(self) -> None:
        for wish, seconds in ((signal.SIGTERM, 5), (signal.SIGKILL, 5)):
            try:
                os.killpg(self._popen.pid, wish)
                self._popen.wait(seconds)
                return
            except ProcessLookupError:
                return
            except subprocess.TimeoutExpired:
                continue

    def cpu_seconds(self) -> float:
        """Time on a core so far, as the scheduler counted it (clock ticks are too coarse)."""
        return sum(_scheduled(pid) for pid in self._tree()) / 1e9

    def memory_mb(self) -> float:
        """Proportional set size: pages shared with others count in part."""
        return sum(_pss_kb(pid) for pid in self._tree()) / 1024

    def _tree(self) -> list[int]:
        children = defaultdict(list)
        for entry in PROC.iterdir():
            if entry.name.isdigit() and (parent := _parent(entry)) is not None:
                children[parent].append(int(entry.name))
        found = [self._popen.pid]
        for pid in found:
            found += children[pid]
        return found


def _parent(entry: Path) -> int | None:
    try:
        return int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:  # it has ended since it was listed
        return None


def _scheduled(pid: int) -> int:
    try:
        return sum(
            int((task / "schedstat").read_text().split()[0]) for task in (PROC / str(pid) / "task").iterdir()
        )
    except OSError:
        return 0


def _pss_kb(pid: int) -> int:
    try:
        lines = (PROC / str(pid) / "smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
