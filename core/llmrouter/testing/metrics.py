"""The contract of a metrics sink, and the records it is tried with."""

from __future__ import annotations

import itertools
import typing
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from llmrouter.protocols import MetricsSink, MetricsSinkType
from llmrouter.types import (
    Attempt,
    Candidate,
    Decision,
    Facts,
    Failure,
    Kind,
    Outcome,
    Ranked,
    Rejected,
    RequestRecord,
    Skip,
    Step,
    Usage,
    Wire,
)

from .descriptors import check_descriptor

AT = 1_000_000_000.0
OUTCOMES: Sequence[Outcome] = typing.get_args(Outcome)
KINDS: Sequence[Kind] = typing.get_args(Kind)
CHAT = Wire("openai.chat", False)


def an_attempt(endpoint: str = "acme/model-1", kind: Kind | None = None, **changes: Any) -> Attempt:
    """A call of a second, its first output after 0.2 s; with `kind`, one that failed."""
    failure = None if kind is None else Failure(kind=kind, scope="endpoint", status=503, message="no")
    attempt = Attempt(
        endpoint=endpoint,
        account="acme",
        started=AT,
        first_output=None if failure else AT + 0.2,
        ended=AT + 1.0,
        failure=failure,
        usage=Usage() if failure else Usage(input=10, cache_read=4, output=20, reasoning=6),
        cost=0.0 if failure else 0.5,
    )
    return msgspec.structs.replace(attempt, **changes)


def a_record(*steps: Step, **changes: Any) -> RequestRecord:
    """A request that these steps served; without any, one attempt of `an_attempt()`."""
    steps = steps or (an_attempt(),)
    facts = Facts(id="req-1", at=AT, client="dev", wire=CHAT, asked="fast", input_tokens=14)
    candidate = Candidate(endpoint="acme/model-1", provider="acme", model="model-1", wire=CHAT)
    record = RequestRecord(
        facts=facts,
        decision=Decision(facts=facts, plan=(Ranked(candidate, 1.0),), rejected=(), policy="order", draw=0.5),
        steps=steps,
        outcome="complete",
        status=200,
        cache="miss",
        usage=Usage(input=10, cache_read=4, output=20, reasoning=6),
        cost=0.5,
        first_output=AT + 0.25,
        ended=AT + 1.1,
    )
    return msgspec.structs.replace(record, **changes)


def named(name: str) -> RequestRecord:
    """A record in which client, model, provider and the name asked for are the same."""
    facts = Facts(at=AT, wire=CHAT, asked=name, client=name)
    return a_record(an_attempt(endpoint=f"{name}/{name}"), facts=facts)


def strange_records() -> dict[str, RequestRecord]:
    """Records that are rare, and legal."""
    facts = Facts(wire=CHAT, asked="")
    long = "x" * 10_000
    odd = 'a"b\\c\nd{e="f"} ünï 🦊'
    return {
        "from the cache": a_record(decision=None, steps=(), cache="hit", cost=0.0),
        "refused at the door": a_record(decision=None, steps=(), outcome="refused", status=400, cost=None),
        "no turn was taken": a_record(steps=(), outcome="refused", status=503),
        "only skips": a_record(Skip(endpoint="acme/model-1", account="acme", reason="breaker", until=AT)),
        "no price": a_record(an_attempt(cost=None), cost=None),
        "no first output": a_record(an_attempt(first_output=None), first_output=None, outcome="broken"),
        "left before a status": a_record(an_attempt(kind="cancelled"), status=499, outcome="cancelled"),
        "a clock that stood still": a_record(an_attempt(ended=AT, first_output=AT), ended=AT, first_output=AT),
        "a clock that jumped back": a_record(an_attempt(ended=AT - 5, first_output=AT - 9), ended=AT - 5),
        "never ended": a_record(ended=0.0),
        "empty facts": a_record(facts=facts),
        "an endpoint without a slash": a_record(an_attempt(endpoint="alone")),
        "an endpoint with many slashes": a_record(an_attempt(endpoint="hub/vendor/model:free")),
        "an empty endpoint": a_record(an_attempt(endpoint="")),
        "long names": a_record(
            an_attempt(endpoint=f"{long}/{long}"), facts=Facts(wire=CHAT, asked=long, client=long)
        ),
        "odd names": a_record(an_attempt(endpoint=f"{odd}/{odd}"), facts=Facts(wire=CHAT, asked=odd, client=odd)),
        "a name that is not unicode": a_record(
            an_attempt(endpoint="acme/\ud83d"), facts=Facts(wire=CHAT, asked="\ud83d")
        ),
        "a strange status": a_record(status=799),
        "no status": a_record(status=0),
        "not a number": a_record(an_attempt(cost=float("nan"), first_output=float("nan")), ended=float("nan")),
        "infinitely dear": a_record(an_attempt(cost=float("inf")), cost=float("inf")),
        "an attempt and a skip": a_record(
            an_attempt(kind="overloaded"), Skip(endpoint="b/x", account="b", reason="limit"), an_attempt("c/x")
        ),
        "a race": a_record(an_attempt(kind="lost"), an_attempt("b/x")),
        "many attempts": a_record(*[an_attempt(f"p{n}/x", kind="connect") for n in range(50)], an_attempt("q/x")),
        "dropped fields": a_record(dropped=("user", "logit_bias")),
        "rejections": a_record(
            decision=Decision(
                facts=facts, plan=(), rejected=(Rejected("a/b", "ability", "vision"),), policy="", draw=0.0
            )
        ),
    }


STRANGE = strange_records()


class MetricsSinkContract:
    """Subclass it as `TestMySink` and say how to make one. Every test gets a sink of its own."""

    def make(self) -> MetricsSink:
        """A sink, ready for records."""
        raise NotImplementedError

    def requests(self, sink: MetricsSink) -> float | None:
        """How many records the sink has taken in; None where it cannot tell."""
        return None

    def descriptor(self) -> MetricsSinkType:
        """What the plugin registers."""
        raise NotImplementedError

    def took(self, sink: MetricsSink, expected: int) -> None:
        counted = self.requests(sink)
        assert counted is None or counted == expected

    @pytest.mark.parametrize("outcome", OUTCOMES)
    @pytest.mark.parametrize("cache", ["hit", "miss", "bypass"])
    def test_every_outcome_is_taken(self, outcome: Outcome, cache: str) -> None:
        sink = self.make()
        sink.record(a_record(outcome=outcome, cache=cache))
        self.took(sink, 1)

    @pytest.mark.parametrize("kind", KINDS)
    def test_every_failure_is_taken(self, kind: Kind) -> None:
        sink = self.make()
        sink.record(a_record(an_attempt(kind=kind), outcome="refused", status=503))
        sink.record(a_record(an_attempt(kind=kind), an_attempt("other/model-2")))
        self.took(sink, 2)

    @pytest.mark.parametrize("status", [200, 400, 401, 404, 413, 429, 499, 500, 502, 503, 504, 529])
    def test_every_status_is_taken(self, status: int) -> None:
        sink = self.make()
        sink.record(a_record(status=status, outcome="complete" if status == 200 else "refused"))
        self.took(sink, 1)

    @pytest.mark.parametrize("op", ["chat", "embed", "rerank", "count"])
    @pytest.mark.parametrize("stream", [False, True])
    def test_every_operation_is_taken(self, op: Any, stream: bool) -> None:
        sink = self.make()
        sink.record(a_record(facts=Facts(at=AT, op=op, wire=Wire("openai.chat", stream), asked="fast")))
        self.took(sink, 1)

    @pytest.mark.parametrize("name", STRANGE)
    def test_a_strange_record_is_taken(self, name: str) -> None:
        sink = self.make()
        sink.record(STRANGE[name])
        self.took(sink, 1)

    def test_recording_returns_nothing_and_needs_no_loop(self) -> None:
        record: Any = self.make().record
        assert record(a_record()) is None

    def test_records_add_up(self) -> None:
        sink = self.make()
        for record in itertools.islice(itertools.cycle(STRANGE.values()), 500):
            sink.record(record)
        self.took(sink, 500)

    def test_a_record_is_left_as_it_was(self) -> None:
        record = a_record(an_attempt(kind="overloaded"), an_attempt("other/model-2"))
        before = msgspec.json.encode(record)
        self.make().record(record)
        assert msgspec.json.encode(record) == before

    def test_two_sinks_never_see_each_other(self) -> None:
        one, other = self.make(), self.make()
        one.record(a_record())
        self.took(one, 1)
        self.took(other, 0)

    def test_its_descriptor_is_sane(self) -> None:
        assert isinstance(self.descriptor(), MetricsSinkType)
        check_descriptor(self.descriptor())
