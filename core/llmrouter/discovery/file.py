"""The lists on disk: one JSON file that every worker of a machine reads, and one at a time writes."""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
from attrs import frozen

from llmrouter.catalogue.lists import Listing, Listings

VERSION = 1
NAME = "models.json"

log = logging.getLogger("llmrouter.discovery")

Stamp = tuple[int, int]
"""Tells one state of the file from another."""


class Document(msgspec.Struct, frozen=True, kw_only=True):
    version: int = VERSION
    providers: dict[str, Listing] = {}


@frozen
class ListFile:
    """`models.json` in the state directory."""

    folder: Path

    @property
    def path(self) -> Path:
        return self.folder / NAME

    def stamp(self) -> Stamp | None:
        """None while there is no file."""
        try:
            seen = self.path.stat()
        except OSError:
            return None
        return seen.st_mtime_ns, seen.st_ino

    def read(self) -> Listings:
        """The last copy; nothing where there is none, or where it cannot be read: it will be written again."""
        try:
            document = msgspec.json.decode(self.path.read_bytes(), type=Document)
        except FileNotFoundError:
            return {}
        except (OSError, msgspec.MsgspecError) as error:
            log.warning("%s cannot be read, and will be made anew: %s", self.path, error)
            return {}
        return document.providers if document.version == VERSION else {}

    def write(self, listings: Listings) -> None:
        """Put it there whole, or not at all. Raises OSError."""
        half = self.path.with_suffix(f".{os.getpid()}.half")
        try:
            with half.open("wb") as file:
                file.write(msgspec.json.encode(Document(providers=dict(listings))))
                file.flush()
                os.fsync(file.fileno())
            half.replace(self.path)
        finally:
            half.unlink(missing_ok=True)

    @contextmanager
    def alone(self, wait: bool = False) -> Iterator[bool]:
        """True for the one process that may ask and write now; False for others, unless they `wait`."""
        with self.path.with_suffix(".lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                yield False
            else:
                yield True
