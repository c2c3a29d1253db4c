"""What an answer is worth: pass, partial, safe failure, fail."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from attrs import frozen

from llmrouter.settings import EngineSettings

from .client import Answer, Said, read
from .saying import MOST_OUTPUT, Meaning
from .scenario import Shape

Verdict = Literal["pass", "partial", "safe failure", "fail"]
VERDICTS: tuple[Verdict, ...] = ("pass", "partial", "safe failure", "fail")
"""From the best to the worst."""
OUR_BUG = 500

GRACE = 1.5
"""Seconds beside the silences: for a repeat's backoff, and for the machine."""
EACH = 0.15
"""Seconds more for each copy that runs at the same time."""
TOKENS_PER_SECOND = 20.0
"""A plain answer gets a second more for so many tokens."""


@frozen
class Limits:
    """Seconds: what is later than `late` is late, and what takes until `hung` hangs."""

    late: float
    hung: float

    @classmethod
    def of(cls, engine: EngineSettings, copies: int = 1) -> Limits:
        """Late is later than the longest silence that ends an attempt; beyond the deadline nothing may live."""
        times, grace = engine.timeouts, GRACE + EACH * (copies - 1)
        longest = max(times.headers, times.ttft_hard, times.idle) + MOST_OUTPUT / TOKENS_PER_SECOND
        return cls(longest + grace, engine.deadline + grace)


def judge(meant: Meaning, shape: Shape, answer: Answer, limits: Limits) -> tuple[Verdict, str]:
    """The verdict on one answer, and why."""
    if answer.hung:
        return "fail", f"hangs: nothing for {answer.seconds:.1f} s"
    if not answer.status:
        return "fail", f"no answer: {answer.broken}"
    said = read(answer, shape)
    if answer.status == 200 and said.error is None:
        return _good(meant, answer, said, limits)
    if answer.status == OUR_BUG:
        return "fail", f"status 500: {_told(said.error)}"
    if said.flaw:
        return "fail", said.flaw
    if not _is_typed(said.error):
        return "fail", f"status {answer.status} with an error that says nothing"
    if not said.begins(meant):
        return "fail", f"an error after {said.text[-60:]!r}, which nobody meant to say"
    where = "in band" if answer.status == 200 else f"status {answer.status}"
    return "safe failure", f"{where}: {_told(said.error)}"


def _good(meant: Meaning, answer: Answer, said: Said, limits: Limits) -> tuple[Verdict, str]:
    if said.flaw:
        return "fail", said.flaw
    if not said.means(meant):
        return "fail", _wrong(meant, said)
    if answer.seconds > limits.late:
        return "partial", f"late: more than {limits.late:.1f} s"
    if said.unmarked:
        return "partial", "it ends without its mark"
    if dropped := answer.headers.get("x-llmrouter-dropped"):
        return "partial", f"without {dropped}"
    return "pass", ""


def _is_typed(error: Any) -> bool:
    """Whether a client can tell what it is about."""
    return isinstance(error, Mapping) and bool(error.get("message") and (error.get("type") or error.get("code")))


def _wrong(meant: Meaning, said: Said) -> str:
    if meant.calls:
        return f"the wrong call: {[*said.calls.values()]!r}"[:120]
    if not said.text:
        return "an empty answer, as if that were all"
    if meant.text.startswith(said.text):
        return f"cut after {len(said.text)} characters, and ends as if that were all"
    if meant.text in said.text:
        return "something is said twice"
    return f"the wrong text: {said.text[:60]!r}"


def _told(error: Any) -> str:
    """The code and the words of an error, in one line."""
    if not isinstance(error, Mapping):
        return str(error)[:100]
    return f"{error.get('code') or error.get('type') or ''} {error.get('message') or ''}".strip()[:120]
