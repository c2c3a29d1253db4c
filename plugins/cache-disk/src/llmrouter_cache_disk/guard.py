"""What stands between a cache folder and this process.

diskcache unpickles what it finds, and opens the files that its rows name: whoever can write into the folder
could run code here or read any file of ours (CVE-2025-69872, without a fix in 5.6.3). So nothing but bytes goes in
or out, under file names of the form that diskcache itself makes, and the folder is closed to everybody else.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from diskcache import UNKNOWN, Disk
from diskcache.core import MODE_BINARY, MODE_RAW

from llmrouter.errors import PluginError

OWN_FILE = re.compile(r"[0-9a-f]{2}[/\\][0-9a-f]{2}[/\\][0-9a-f]{28}\.val")
NOT_OURS = "\x7f"
"""Stands for a key that was not written by us: no printable key equals it or begins with it."""


class Refused(Exception):
    """A row that this cache cannot have written."""


class BytesDisk(Disk):  # type: ignore[misc]
    """Keys are text and values bytes, as they are; no pickle is ever made or read."""

    def put(self, key: object) -> tuple[str, bool]:
        if type(key) is not str:
            raise TypeError(f"a cache key is text, not {type(key).__name__}")
        return key, True

    def get(self, key: object, raw: object) -> str:
        return key if type(key) is str and raw else NOT_OURS

    def store(self, value: object, read: bool, key: object = UNKNOWN) -> tuple[int, int, str | None, Any]:
        if type(value) is not bytes or read:
            raise TypeError(f"a cached value is bytes, not {type(value).__name__}")
        stored: tuple[int, int, str | None, Any] = super().store(value, read, key)
        return stored

    def fetch(self, mode: int, filename: object, value: object, read: bool) -> bytes:
        if mode == MODE_RAW and type(value) is bytes:
            return value
        if mode == MODE_BINARY and _is_own(filename):
            return bytes(super().fetch(mode, filename, None, False))
        raise Refused(f"mode {mode!r}, file {filename!r}")

    def remove(self, file_path: object) -> None:
        if _is_own(file_path):
            super().remove(file_path)


def _is_own(filename: object) -> bool:
    return isinstance(filename, str) and OWN_FILE.fullmatch(filename) is not None


def claim(folder: Path) -> None:
    """Make the folder, or see that it is ours alone. Raises PluginError that says what to do."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.stat()
    except OSError as error:
        raise PluginError(f"cache disk: {folder} cannot be used: {error.strerror}. Set `cache.path`") from error
    if os.name != "posix":  # pragma: no cover
        return
    if found.st_uid != os.geteuid():
        raise PluginError(
            f"cache disk: {folder} belongs to another user (uid {found.st_uid}), who could plant answers. "
            f"Set `cache.path` to a folder of your own"
        )
    if found.st_mode & 0o077:
        raise PluginError(
            f"cache disk: others may use {folder} (mode {found.st_mode & 0o777:o}). Run: chmod 700 {folder}"
        )
