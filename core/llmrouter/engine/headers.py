"""Headers of answers, and the hints that headers of requests give."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

import msgspec

from llmrouter.protocols import Writer
from llmrouter.routing.reasons import CHOSEN, because, phrase
from llmrouter.types import Attempt as Line
from llmrouter.types import Decision, Trouble

if TYPE_CHECKING:
    from .attempt import Attempt
    from .exchange import Exchange

KEPT = ("x-ratelimit-", "anthropic-ratelimit-", "retry-after")
LONGEST = 200  # characters of a name in a header
ID = "x-request-id"  # a dialect whose clients look for it elsewhere has an `id_header`
JSON = "application/json"
EVENTS = "text/event-stream; charset=utf-8"
REASONS = {code: f"{code}; {text}" for code, text in CHOSEN.items()}


def seconds(hints: Mapping[str, str], most: float) -> float:
    """What a request may take: less than `most` where the client itself is not ready to wait as long."""
    said = hints.get("timeout")
    if said is None:
        return most
    try:
        asked = float(said.removesuffix("s"))
    except ValueError:
        return most
    return min(most, asked) if asked > 0 else most


def answer_id(request_id: str, writer: Writer) -> str:
    """The id of an answer that is replayed, as the client's dialect writes them."""
    return getattr(writer, "prefix", "") + request_id.removeprefix("req_")


def answer(exchange: Exchange, attempt: Attempt | None) -> dict[str, str]:
    """The headers of a good answer; the attempt is None when the cache answered."""
    facts, attempts = exchange.facts, exchange.attempts
    found = {
        "content-type": EVENTS if facts.wire.stream else JSON,
        ID: facts.id,
        getattr(exchange.dialect, "id_header", ID): facts.id,
        "x-llmrouter-cache": exchange.cache,
    }
    if facts.wire.stream:
        found["cache-control"] = "no-cache"
        found["x-accel-buffering"] = "no"
    if attempts.dropped:
        found["x-llmrouter-dropped"] = ", ".join(attempts.dropped)
    if queued := attempts.queued:
        found["x-llmrouter-queued-ms"] = f"{queued * 1e3:.0f}"
    if attempt is None:
        return found
    _say_who(found, exchange, attempt)
    if attempt.reply:
        theirs = attempt.reply.headers
        for name in _kept(*theirs):
            found[name] = theirs[name]
    return found


@lru_cache(maxsize=256)
def _kept(*names: str) -> tuple[str, ...]:
    """Which headers of an upstream go on to the client. Its answers have the same ones time and again."""
    return tuple([name for name in names if name.startswith(KEPT)])


def _say_who(found: dict[str, str], exchange: Exchange, attempt: Attempt) -> None:
    """Who answered, why, and at what price."""
    endpoint, line, reading = attempt.turn.endpoint, attempt.line, attempt.reading
    found |= _served(endpoint.provider, endpoint.model, attempt.turn.account.id)
    found["x-llmrouter-attempts"] = str(exchange.attempts.made)
    if exchange.decision:
        found["x-llmrouter-reason"] = _reason(exchange, exchange.decision)
    if line and line.cost is not None and not exchange.facts.wire.stream:
        found["x-llmrouter-cost"] = f"{line.cost:.9f}".rstrip("0").rstrip(".")
    if reading.flaw:
        found["x-llmrouter-flaw"] = _ascii(reading.flaw.message)
    first = reading.first_output or exchange.engine.clock()
    found["server-timing"] = f"upstream;dur={(first - attempt.started) * 1e3:.1f}"


@lru_cache(maxsize=256)
def _served(provider: str, model: str, account: str) -> Mapping[str, str]:
    return {"x-llmrouter-provider": provider, "x-llmrouter-model": _ascii(model), "x-llmrouter-account": account}


def _reason(exchange: Exchange, decision: Decision) -> str:
    attempts = exchange.attempts  # of a single step, it is the one that serves
    code = decision.reason if len(attempts.steps) == 1 else because(decision, attempts.lines())
    return REASONS.get(code) or f"{code}; {phrase(code)}"


def refusal(exchange: Exchange, why: Trouble) -> dict[str, str]:
    """The headers of an error."""
    attempts = sum(isinstance(step, Line) for step in why.steps)
    found = {
        "content-type": JSON,
        ID: exchange.facts.id,
        getattr(exchange.dialect, "id_header", ID): exchange.facts.id,
        "x-llmrouter-attempts": str(attempts),
        "x-llmrouter-cache": exchange.cache,
    }
    if why.retry_after is not None:
        found["retry-after"] = str(max(1, round(why.retry_after + 0.499)))
    if why.code == "upstream_credentials_exhausted":
        found["x-should-retry"] = "false"
    return found


def trace(exchange: Exchange) -> bytes:
    """What the headers of a stream could not know yet, as its last comment."""
    lines = [line for line in exchange.attempts.lines() if isinstance(line, Line)]
    served = next((line for line in lines if line.failure is None), None)
    said = {
        "id": exchange.facts.id,
        "attempts": len(lines),
        "served": served.endpoint if served else None,
        "cost": served.cost if served else None,
    }
    return b": llmrouter " + msgspec.json.encode(said) + b"\n\n"


def _ascii(text: str) -> str:
    """A name that clients may choose, as it may stand in a header."""
    if text.isascii() and text.isprintable() and len(text) <= LONGEST:
        return text
    return text[:LONGEST].encode("unicode_escape").decode()
