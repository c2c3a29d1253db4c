"""The sums as Prometheus reads them. Imported at the first reading, in its thread: a start does not pay for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import accumulate

from attrs import frozen
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector

from .counts import Counts, Histogram, Labels, Sums

ENDPOINT = ("provider", "model")


@frozen
class CountsCollector(Collector):
    """Counts, in prometheus-client's terms. It belongs to no registry, so to no other router either."""

    counts: Counts

    def collect(self) -> Iterator[Metric]:
        counts = self.counts
        request = ("client", "op", "outcome", "status", "cache")
        result, type_ = (*ENDPOINT, "result"), (*ENDPOINT, "type")
        yield _counter("llmrouter_requests", "Requests that ended.", request, counts.requests())
        yield _counter("llmrouter_attempts", "Calls to upstreams, by their result.", result, counts.attempts())
        yield _counter("llmrouter_tokens", "Tokens of all calls.", type_, counts.tokens())
        yield _counter("llmrouter_cost_usd", "USD that all calls cost.", ENDPOINT, counts.cost())
        reason = ("reason",)
        yield _counter("llmrouter_failovers", "Calls made because one failed.", reason, counts.failovers)
        yield _counter("llmrouter_skips", "Turns that were not called.", reason, counts.skips)
        ended, first = counts.request_seconds(), counts.first_output_seconds()
        yield _histogram("llmrouter_request_seconds", "Time of a whole request.", ("op", "outcome"), ended)
        yield _histogram("llmrouter_first_output_seconds", "Time to the first output of a call.", ENDPOINT, first)


def _counter(name: str, text: str, labels: tuple[str, ...], sums: Sums) -> Metric:
    family = CounterMetricFamily(name, text, labels=labels)
    for values, number in sums.items():
        family.add_metric(values, number)
    return family


def _histogram(name: str, text: str, labels: tuple[str, ...], found: Mapping[Labels, Histogram]) -> Metric:
    family = HistogramMetricFamily(name, text, labels=labels)
    for values, histogram in found.items():
        bounds = [*(str(bound) for bound in histogram.bounds), "+Inf"]
        buckets = list(zip(bounds, accumulate(histogram.counts), strict=True))
        family.add_metric(values, buckets, histogram.total)
    return family


def render(counts: Counts, accept: str) -> tuple[bytes, str]:
    """The page and its content type, in the format that the reader asked for."""
    collector = CountsCollector(counts)
    if "application/openmetrics-text" in accept:
        body: bytes = openmetrics.generate_latest(collector)  # type: ignore[no-untyped-call]
        return body, openmetrics.CONTENT_TYPE_LATEST
    return generate_latest(collector), CONTENT_TYPE_PLAIN_0_0_4
