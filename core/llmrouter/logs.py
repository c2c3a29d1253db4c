"""Structured logging: one line for each request and each event, written by a thread of its own.

Whoever logs only puts a record into a bounded row. Lines hold no secret and no text of a prompt, because a
`RequestRecord` holds none.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, TextIO

import msgspec

from .settings import LoggingSettings
from .types import Attempt, RequestRecord

EVERY = 0.2  # seconds between two writes; an error is written at once
ROOM = 10_000  # lines that may wait
REQUESTS = "llmrouter.request"
OUTCOMES = {"complete": logging.INFO, "cancelled": logging.INFO, "refused": logging.WARNING}
LEVELS = {level: logging.getLevelName(level).lower() for level in (10, 20, 30, 40, 50)}

_plain = logging.Formatter()


class RequestLog:
    """A `MetricsSink`: the line of a request."""

    def __init__(self) -> None:
        self._log = logging.getLogger(REQUESTS)

    def record(self, record: RequestRecord) -> None:
        level = OUTCOMES.get(record.outcome, logging.ERROR)
        if self._log.isEnabledFor(level):
            line = logging.LogRecord(REQUESTS, level, "", 0, "request", None, None)
            line.request = record
            self._log.handle(line)


class Handler(logging.Handler):
    """Hands records to the writer; their text is made here, for what it is made of may change."""

    def __init__(self, writer: Writer) -> None:
        super().__init__()
        self._writer = writer

    def emit(self, record: logging.LogRecord) -> None:
        if record.args:
            record.msg, record.args = record.getMessage(), None
        if record.exc_info and not record.exc_text:
            record.exc_text = _plain.formatException(record.exc_info)
        self._writer.put(record)


class Writer:
    """The row of waiting records, and the thread that writes them, all that wait in one go."""

    def __init__(self, stream: TextIO, formatter: logging.Formatter) -> None:
        self.dropped = 0
        self._stream = stream
        self._formatter = formatter
        self._waiting: deque[logging.LogRecord] = deque(maxlen=ROOM)
        self._wake = threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._write_on, name="llmrouter log", daemon=True)
        self._thread.start()

    def put(self, record: logging.LogRecord) -> None:
        if len(self._waiting) == ROOM:
            self.dropped += 1
        self._waiting.append(record)
        if record.levelno >= logging.ERROR:
            self._wake.set()

    def close(self) -> None:
        self._closing = True
        self._wake.set()
        self._thread.join()

    def _write_on(self) -> None:
        while not self._closing:
            self._wake.wait(EVERY)
            self._wake.clear()
            self._flush()
        self._flush()

    def _flush(self) -> None:
        lines = [self._formatter.format(self._waiting.popleft()) for _ in range(len(self._waiting))]
        if not lines:
            return
        try:
            self._stream.write("\n".join(lines) + "\n")
            self._stream.flush()
        except (OSError, ValueError):  # closed or full: there is nobody left to tell
            self.dropped += len(lines)


class JSONLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {"at": _time(record), "level": LEVELS.get(record.levelno, record.levelname), **_said(record)}
        return msgspec.json.encode(line).decode()


class TextLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        said = _said(record)
        head = f"{_time(record)} {LEVELS.get(record.levelno, record.levelname):7}"
        if "id" not in said:
            error = f"\n{said['error']}" if "error" in said else ""
            return f"{head} {said['logger']}: {_plain_text(said['message'])}{error}"
        return f"{head} {_plain_text(' '.join([f'{name}={value}' for name, value in said.items() if value]))}"


@contextmanager
def logging_to(settings: LoggingSettings, stream: TextIO | None = None) -> Iterator[Writer]:
    """Send all logging of this process there (standard error) until the block ends."""
    formatter = JSONLines() if settings.format == "json" else TextLines()
    writer = Writer(stream or sys.stderr, formatter)
    handler = Handler(writer)
    root, ours = logging.getLogger(), logging.getLogger("llmrouter")
    before = root.level, ours.level
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    ours.setLevel(settings.level.upper())
    try:
        yield writer
    finally:
        root.removeHandler(handler)
        root.setLevel(before[0])
        ours.setLevel(before[1])
        writer.close()


def summary(record: RequestRecord) -> dict[str, Any]:
    """A request in one flat line. Times are seconds, cost is USD; None is unknown."""
    facts, usage = record.facts, record.usage
    attempts = [step for step in record.steps if isinstance(step, Attempt)]
    served = next((attempt for attempt in attempts if attempt.failure is None), None)
    first = record.first_output
    return {
        "id": facts.id,
        "client": facts.client,
        "op": facts.op,
        "dialect": facts.wire.dialect,
        "stream": facts.wire.stream,
        "asked": facts.asked,
        "served": served.endpoint if served else None,
        "via": (served.via or None) if served else None,
        "account": served.account if served else None,
        "reason": record.decision.reason if record.decision else None,
        "status": record.status,
        "outcome": record.outcome,
        "cache": record.cache,
        "attempts": len(attempts),
        "skips": len(record.steps) - len(attempts),
        "failures": [attempt.failure.kind for attempt in attempts if attempt.failure],
        "input_tokens": usage.prompt,
        "output_tokens": usage.completion,
        "cost": record.cost,
        "queued": _rounded(record.queued),
        "ttft": _rounded(first - facts.at) if first is not None else None,
        "duration": _rounded(record.ended - facts.at),
    }


def _said(record: logging.LogRecord) -> dict[str, Any]:
    request = getattr(record, "request", None)
    if request is not None:
        return {"logger": record.name, "message": "request", **summary(request)}
    said = {"logger": record.name, "message": record.getMessage()}
    return said | {"error": record.exc_text} if record.exc_text else said


def _plain_text(text: str) -> str:
    """What clients sent, without the control characters that would make a second line of it."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)


def _rounded(seconds: float) -> float:
    return round(seconds, 6)


def _time(record: logging.LogRecord) -> str:
    return f"{_second(int(record.created))}.{int(record.msecs):03}+00:00"


@lru_cache(maxsize=2)
def _second(at: int) -> str:
    """Lines come many in a second."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S")
