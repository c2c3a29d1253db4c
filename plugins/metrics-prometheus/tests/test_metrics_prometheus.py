"""The Prometheus sink: the contract of every sink, what it counts, and its page."""

from __future__ import annotations

import math
from typing import Any

import llmrouter_metrics_prometheus
import msgspec
import pytest
from llmrouter_metrics_prometheus import BUCKETS
from llmrouter_metrics_prometheus.page import PrometheusSink
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families

from llmrouter.protocols import MetricsSink, MetricsSinkType, Page
from llmrouter.testing import run
from llmrouter.testing.context import FakeContext
from llmrouter.testing.metrics import AT, STRANGE, MetricsSinkContract, a_record, an_attempt
from llmrouter.types import Facts, RequestRecord, Skip, Usage, Wire

OPENMETRICS = "application/openmetrics-text;version=1.0.0;q=0.8,text/plain;q=0.3"


def descriptor() -> MetricsSinkType:
    [found] = llmrouter_metrics_prometheus.llmrouter_register_metrics_sinks()
    return found


def a_sink(max_values: int = 500) -> PrometheusSink:
    return PrometheusSink("/metrics", BUCKETS, max_values)


def read(sink: PrometheusSink, accept: str = "", method: str = "GET") -> tuple[int, dict[bytes, bytes], bytes]:
    """What the page answers: status, headers, body."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise AssertionError("the page reads no body")

    scope = {"type": "http", "method": method, "path": "/metrics", "headers": [(b"accept", accept.encode())]}
    run(sink.app(scope, receive, send))
    start, body = sent
    return start["status"], dict(start["headers"]), body["body"]


def series(sink: PrometheusSink) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Every line of the page: name and sorted labels to value."""
    families = text_string_to_metric_families(read(sink)[2].decode())
    lines = [line for family in families for line in family.samples]
    return {(line.name, tuple(sorted(line.labels.items()))): line.value for line in lines}


def value(sink: PrometheusSink, name: str, **labels: str) -> float | None:
    return series(sink).get((f"llmrouter_{name}", tuple(sorted(labels.items()))))


def total(sink: PrometheusSink, name: str) -> float:
    return sum(number for (found, _), number in series(sink).items() if found == f"llmrouter_{name}")


def sink_of(*records: RequestRecord) -> PrometheusSink:
    sink = a_sink()
    for record in records:
        sink.record(record)
    return sink


class TestPrometheusSink(MetricsSinkContract):
    def make(self) -> PrometheusSink:
        return a_sink()

    def requests(self, sink: MetricsSink) -> float:
        assert isinstance(sink, PrometheusSink)
        return total(sink, "requests_total")

    def descriptor(self) -> MetricsSinkType:
        return descriptor()


# --- what is counted


def test_requests_are_counted_by_client_operation_outcome_status_and_cache() -> None:
    refused = a_record(an_attempt(kind="overloaded"), outcome="refused", status=503)
    sink = sink_of(a_record(), a_record(), refused, a_record(decision=None, steps=(), cache="hit"))
    common = {"client": "dev", "op": "chat"}
    assert value(sink, "requests_total", **common, outcome="complete", status="200", cache="miss") == 2
    assert value(sink, "requests_total", **common, outcome="refused", status="503", cache="miss") == 1
    assert value(sink, "requests_total", **common, outcome="complete", status="200", cache="hit") == 1


def test_calls_are_counted_by_their_result() -> None:
    sink = sink_of(a_record(an_attempt(kind="overloaded"), an_attempt("hub/vendor/model")), a_record())
    assert value(sink, "attempts_total", provider="acme", model="model-1", result="overloaded") == 1
    assert value(sink, "attempts_total", provider="acme", model="model-1", result="ok") == 1
    assert value(sink, "attempts_total", provider="hub", model="vendor/model", result="ok") == 1


def test_tokens_are_counted_in_exclusive_types() -> None:
    usage = Usage(input=1, cache_read=2, cache_write=3, output=4, reasoning=5)
    sink = sink_of(a_record(an_attempt(usage=usage)), a_record(an_attempt(usage=usage)))
    found = {
        kind: value(sink, "tokens_total", provider="acme", model="model-1", type=kind)
        for kind in ("input", "cache_read", "cache_write", "output", "reasoning")
    }
    assert found == {"input": 2, "cache_read": 4, "cache_write": 6, "output": 8, "reasoning": 10}


def test_a_cached_answer_spends_no_tokens() -> None:
    sink = sink_of(a_record(decision=None, steps=(), cache="hit"))
    sink.record(msgspec.structs.replace(a_record(), steps=()))
    assert total(sink, "tokens_total") == 0


def test_cost_is_the_sum_of_all_calls_with_a_price() -> None:
    sink = sink_of(a_record(an_attempt(cost=0.25)), a_record(an_attempt(cost=None)), a_record(an_attempt(cost=0.5)))
    assert value(sink, "cost_usd_total", provider="acme", model="model-1") == 0.75


def test_a_failover_is_a_further_call_made_because_one_failed() -> None:
    sink = sink_of(
        a_record(an_attempt(kind="overloaded"), an_attempt(kind="connect"), an_attempt("b/x")),
        a_record(an_attempt(kind="overloaded"), outcome="refused", status=503),
        a_record(an_attempt(kind="lost"), an_attempt("b/x")),
        a_record(an_attempt(kind="stall"), Skip(endpoint="b/x", account="b", reason="limit"), an_attempt("c/x")),
    )
    found = {labels[0][1]: number for (name, labels), number in series(sink).items() if "failovers_total" in name}
    assert found == {"overloaded": 1, "connect": 1, "stall": 1}


def test_skips_are_counted_by_reason() -> None:
    skip = Skip(endpoint="b/x", account="b", reason="breaker")
    sink = sink_of(a_record(skip, an_attempt()), a_record(skip, skip))
    assert value(sink, "skips_total", reason="breaker") == 3


def test_times_fall_into_their_buckets() -> None:
    sink = sink_of(*(a_record(ended=AT + seconds) for seconds in (0.05, 0.3, 3.0, 4000.0)))
    labels = {"op": "chat", "outcome": "complete"}
    found = [
        value(sink, "request_seconds_bucket", **labels, le=le) for le in ("0.05", "0.25", "0.5", "5.0", "300.0")
    ]
    assert found == [1, 1, 2, 3, 3]
    assert value(sink, "request_seconds_bucket", **labels, le="+Inf") == 4
    assert value(sink, "request_seconds_count", **labels) == 4
    assert value(sink, "request_seconds_sum", **labels) == pytest.approx(4003.35)


def test_the_time_to_the_first_output_begins_with_its_own_call() -> None:
    late = an_attempt("b/x", started=AT + 10, first_output=AT + 10.5, ended=AT + 11)
    sink = sink_of(a_record(an_attempt(kind="timeout_ttft"), late))
    assert value(sink, "first_output_seconds_sum", provider="b", model="x") == 0.5
    assert value(sink, "first_output_seconds_count", provider="acme", model="model-1") is None


def test_no_sum_is_ever_poisoned() -> None:
    sink = sink_of(*STRANGE.values())
    assert all(math.isfinite(number) and number >= 0 for number in series(sink).values())


# --- bounds


def test_the_name_asked_for_is_nowhere() -> None:
    sink = sink_of(a_record(facts=Facts(at=AT, wire=Wire("openai.chat", False), asked="what-a-client-wrote")))
    assert b"what-a-client-wrote" not in read(sink)[2]


def test_what_clients_can_vary_makes_a_bounded_number_of_lines() -> None:
    sink = a_sink(max_values=10)
    for number in range(1000):
        facts = Facts(at=AT, client=f"client-{number}", wire=Wire("openai.chat", False), asked="x")
        sink.record(a_record(an_attempt(f"any/model-{number}"), facts=facts, status=number))
        sink.record(a_record(Skip(endpoint="a/b", account="a", reason=f"reason-{number}")))
    assert value(sink, "attempts_total", provider="any", model="model-9", result="ok") == 1
    assert value(sink, "attempts_total", provider="other", model="other", result="ok") == 990
    assert value(sink, "skips_total", reason="other") == 990
    clients = {dict(labels).get("client") for _, labels in series(sink)} - {None}
    assert len(clients) <= 12
    assert len(series(sink)) < 1000


def test_what_is_summed_up_is_not_kept_by_its_own_name() -> None:
    sink = a_sink(max_values=10)
    for number in range(100):
        facts = Facts(at=AT, client=f"client-{number}", wire=Wire("openai.chat", False), asked="x")
        sink.record(a_record(an_attempt(f"any/model-{number}"), facts=facts, status=number + 580))
    assert len(sink.counts._times) <= 10
    assert len(sink.counts._lines) <= 10


def test_names_that_look_the_same_share_a_line() -> None:
    sink = sink_of(*[a_record(an_attempt(endpoint)) for endpoint in ("acme/\ud83d", "acme/?") * 2])
    assert value(sink, "attempts_total", provider="acme", model="?", result="ok") == 4
    assert value(sink, "first_output_seconds_count", provider="acme", model="?") == 4


def test_a_name_without_end_is_not_kept() -> None:
    sink = sink_of(a_record(an_attempt("any/" + "x" * 1_000_000)))
    assert value(sink, "attempts_total", provider="other", model="other", result="ok") == 1


# --- the page


def test_the_sink_is_a_page() -> None:
    assert isinstance(a_sink(), Page)
    assert a_sink().path == "/metrics"


def test_an_empty_page_names_every_metric() -> None:
    status, headers, body = read(a_sink())
    families = {family.name: family.type for family in text_string_to_metric_families(body.decode())}
    assert status == 200
    assert headers[b"content-type"].startswith(b"text/plain; version=0.0.4")
    assert families == {
        "llmrouter_requests": "counter",
        "llmrouter_attempts": "counter",
        "llmrouter_tokens": "counter",
        "llmrouter_cost_usd": "counter",
        "llmrouter_failovers": "counter",
        "llmrouter_skips": "counter",
        "llmrouter_request_seconds": "histogram",
        "llmrouter_first_output_seconds": "histogram",
    }


def test_a_reader_of_openmetrics_gets_that() -> None:
    _, headers, body = read(sink_of(*STRANGE.values()), OPENMETRICS)
    assert headers[b"content-type"].startswith(b"application/openmetrics-text")
    assert body.endswith(b"# EOF\n")
    families = openmetrics_families(body.decode())  # type: ignore[no-untyped-call]
    names = {family.name for family in families}
    assert "llmrouter_requests" in names


@pytest.mark.parametrize("accept", ["application/openmetrics-text;version=banana", "*/*", "\xff", "text/html"])
def test_a_reader_of_anything_gets_something(accept: str) -> None:
    assert read(a_sink(), accept)[0] == 200


def test_the_page_is_only_read() -> None:
    assert read(a_sink(), method="POST")[0] == 405
    assert read(a_sink(), method="HEAD")[::2] == (200, b"")


def test_records_after_a_reading_are_in_the_next_one_only() -> None:
    sink = sink_of(a_record())
    before = sink.counts.snapshot()
    sink.record(a_record())
    assert sum(before.requests().values()) == 1
    assert sum(times.total for times in before.request_seconds().values()) == pytest.approx(1.1)
    assert [times.number() for times in before.first_output_seconds().values()] == [1]
    assert [*before.attempts().values()] == [1]
    assert total(sink, "requests_total") == 2


# --- the plugin


def test_the_configuration_says_path_and_buckets() -> None:
    type_ = descriptor()
    sink: Any = type_.build(type_.config(path="/prom", buckets=[5, 1], max_values=3), FakeContext("prometheus"))
    sink.record(a_record())
    assert (sink.path, sink.bounds, sink.max_values) == ("/prom", (1.0, 5.0), 3)
    assert {dict(labels).get("le") for _, labels in series(sink)} == {"1.0", "5.0", "+Inf", None}


def test_the_defaults_are_those_of_the_schema() -> None:
    type_ = descriptor()
    keys = type_.schema["properties"]
    config = type_.config()
    assert (config.path, list(config.buckets), config.max_values) == (
        keys["path"]["default"],
        keys["buckets"]["default"],
        keys["max_values"]["default"],
    )
