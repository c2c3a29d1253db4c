"""Lines of logging: of requests and of events, as JSON and as text."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import pytest

from llmrouter import logs
from llmrouter.logs import RequestLog, TextLines, logging_to, summary
from llmrouter.settings import LoggingSettings

from .serving import FULL, record

SUMMARY = {
    "id": "req_1", "client": "dev", "op": "chat", "dialect": "openai.chat", "stream": True, "asked": "fast",
    "served": "q/m", "via": None, "account": "c", "reason": "cost", "status": 200, "outcome": "complete",
    "cache": "miss", "attempts": 2, "skips": 1, "failures": ["rate_limited"], "input_tokens": 1,
    "output_tokens": 0, "cost": None, "queued": 0.0, "ttft": 1.25, "duration": 2.75,
}  # fmt: skip


@contextmanager
def written(**settings: Any) -> Iterator[list[str]]:
    """What is written until the block ends, line by line."""
    stream, lines = io.StringIO(), list[str]()
    with logging_to(LoggingSettings(**settings), stream):
        yield lines
    lines += stream.getvalue().splitlines()


def test_a_request_is_one_flat_line() -> None:
    assert summary(FULL) == SUMMARY


def test_who_served_behind_the_provider_is_said() -> None:
    served = msgspec.structs.replace(FULL.steps[-1], via="Acme")
    assert summary(msgspec.structs.replace(FULL, steps=(*FULL.steps[:-1], served))) == SUMMARY | {"via": "Acme"}


def test_a_request_that_nobody_served_says_so() -> None:
    said = summary(record())
    assert (said["served"], said["reason"], said["ttft"], said["failures"]) == (None, None, None, [])


def test_requests_and_events_are_json_lines_in_their_order() -> None:
    with written() as lines:
        logging.getLogger("llmrouter.server").info("listening on %s", "port 1")
        RequestLog().record(FULL)
    event, request = (json.loads(line) for line in lines)
    assert (event["level"], event["logger"], event["message"]) == (
        "info",
        "llmrouter.server",
        "listening on port 1",
    )
    assert {name: request[name] for name in SUMMARY} == SUMMARY
    assert request["at"].endswith("+00:00")


def test_text_leaves_out_what_is_unknown() -> None:
    with written(format="text") as lines:
        logging.getLogger("llmrouter").warning("careful")
        RequestLog().record(record())
    assert lines[0].endswith("warning llmrouter: careful")
    assert "id=req_1" in lines[1]
    assert "served" not in lines[1]


@pytest.mark.parametrize("format", ["json", "text"])
def test_an_exception_is_written_with_where_it_came_from(format: str) -> None:
    with written(format=format) as lines:
        try:
            raise ZeroDivisionError("by zero")
        except ZeroDivisionError:
            logging.getLogger("llmrouter").exception("failed")
    text = "\n".join(lines)
    assert "failed" in text
    assert "test_logs.py" in text


def test_the_level_counts_for_us_and_other_libraries_are_quieter() -> None:
    with written(level="debug") as lines:
        logging.getLogger("llmrouter.x").debug("ours")
        logging.getLogger("somebody.else").info("theirs")
        logging.getLogger("somebody.else").warning("theirs, and serious")
    assert [json.loads(line)["message"] for line in lines] == ["ours", "theirs, and serious"]
    with written(level="error") as lines:
        RequestLog().record(FULL)
        RequestLog().record(record(outcome="broken"))
    assert [json.loads(line)["outcome"] for line in lines] == ["broken"]


def test_logging_is_as_it_was_afterwards() -> None:
    root, ours = logging.getLogger(), logging.getLogger("llmrouter")
    before = (root.level, ours.level, list(root.handlers))
    with written():
        pass
    assert (root.level, ours.level, list(root.handlers)) == before


def test_more_than_can_wait_is_counted_and_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "ROOM", 2)
    monkeypatch.setattr(logs, "EVERY", 60.0)
    stream = io.StringIO()
    with logging_to(LoggingSettings(), stream) as writer:
        for number in range(5):
            logging.getLogger("llmrouter").info("%d", number)
    assert writer.dropped == 3
    assert [json.loads(line)["message"] for line in stream.getvalue().splitlines()] == ["3", "4"]


def test_an_error_is_written_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "EVERY", 60.0)
    stream = io.StringIO()
    with logging_to(LoggingSettings(), stream):
        logging.getLogger("llmrouter").error("now")
        while not stream.getvalue():
            pass


def test_a_stream_that_is_closed_stops_nobody() -> None:
    stream = io.StringIO()
    stream.close()
    with logging_to(LoggingSettings(), stream) as writer:
        logging.getLogger("llmrouter").error("to nobody")
    assert writer.dropped == 1


def test_a_line_of_text_stays_one_line_whatever_a_client_sent() -> None:
    said = logging.LogRecord("llmrouter.server", logging.INFO, "", 0, "refused /a\r\nb\x1b[2J", None, None)
    request = logging.LogRecord("llmrouter.request", logging.INFO, "", 0, "request", None, None)
    request.request = msgspec.structs.replace(FULL, facts=msgspec.structs.replace(FULL.facts, asked="x\ny"))
    lines = [TextLines().format(one) for one in (said, request)]
    assert lines[0].endswith(r"refused /a\r\nb\x1b[2J")
    assert r"asked=x\ny" in lines[1]
    assert all(line.isprintable() for line in lines)
