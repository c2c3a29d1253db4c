"""Who of a machine's workers may send the probe of a half-open circuit: one at a time."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import blake2b
from pathlib import Path
from typing import Protocol

from attrs import frozen

if sys.platform != "win32":
    import fcntl


class ProbeLock(Protocol):
    """Shared by the workers of one machine. Inside a worker its circuits themselves let one probe through."""

    def take(self, scope: str) -> bool:
        """Never waits. False: another worker's probe is under way."""
        ...

    def give(self, scope: str) -> None: ...


class NoLock:
    """A worker alone."""

    def take(self, scope: str) -> bool:
        return True

    def give(self, scope: str) -> None:
        pass


@frozen
class FileLock:
    """One byte of an empty file per scope, locked by a process; the kernel frees what a dead one held.

    The locks are the process's, not the descriptor's: closing the file anywhere in it gives all of them back.
    """

    file: int

    def take(self, scope: str) -> bool:
        try:
            fcntl.lockf(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _place(scope))
        except (BlockingIOError, PermissionError):  # POSIX allows either
            return False
        except OSError:  # a file system without locks must not keep anybody from probing
            return True
        return True

    def give(self, scope: str) -> None:
        with suppress(OSError):
            fcntl.lockf(self.file, fcntl.LOCK_UN, 1, _place(scope))


@contextmanager
def probe_lock(path: Path) -> Iterator[ProbeLock]:
    """The lock that this file stands for; where the platform has none, every worker probes by itself."""
    if sys.platform == "win32":
        yield NoLock()
        return
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        yield FileLock(file)
    finally:
        os.close(file)


def _place(scope: str) -> int:
    """Two scopes at one place would only take turns; with 2⁵⁶ places they do not."""
    return int.from_bytes(blake2b(scope.encode(), digest_size=7).digest())
