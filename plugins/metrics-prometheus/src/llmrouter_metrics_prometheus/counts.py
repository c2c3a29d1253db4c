"""The sums: plain numbers, because a record has 5 µs. What is read off a record stands in `Counts.add`."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Sequence

from attrs import define, evolve, field

from llmrouter.types import Attempt, RequestRecord

OTHER = "other"
LONGEST = 200
"""Characters of a name that gets lines of its own."""
INFINITY = float("inf")
STATUSES = {status: str(status) for status in range(100, 600)}
TOKENS = ("input", "output", "cache_read", "cache_write", "reasoning")

Labels = tuple[str, ...]
Sums = dict[Labels, float]


@define(eq=False)
class Histogram:
    """How many observations fell below each bound (not cumulative; the last is for all above), and their sum."""

    bounds: Sequence[float]
    rows: dict[Labels, list[float]] = field(factory=dict)

    def observe(self, labels: Labels, seconds: float) -> None:
        if not 0 <= seconds < INFINITY:
            seconds = 0.0  # a clock that was set back: counted, without a weight
        row = self.rows.get(labels)
        if row is None:
            row = self.rows[labels] = [0] * (len(self.bounds) + 2)
        row[bisect_left(self.bounds, seconds)] += 1
        row[-1] += seconds

    def copy(self) -> Histogram:
        return Histogram(self.bounds, {labels: [*row] for labels, row in self.rows.items()})


@define(eq=False)
class Values:
    """The values of a label that get lines of their own: the first `most`. All others are `other`.

    What a client may choose (a model's id, where a provider serves any) must not fill the memory.
    """

    most: int
    known: dict[str, Labels] = field(factory=dict)

    def labels(self, value: str) -> Labels:
        """The value as a label."""
        return self.known.get(value) or self._learn(value, (_clean(value),), (OTHER,))

    def endpoint(self, value: str) -> Labels:
        """The provider and the model of an endpoint's id."""
        found = self.known.get(value)
        if found is not None:
            return found
        provider, _, model = value.partition("/")
        return self._learn(value, (_clean(provider), _clean(model)), (OTHER, OTHER))

    def _learn(self, value: str, labels: Labels, other: Labels) -> Labels:
        if len(self.known) >= self.most or len(value) > LONGEST:
            return other
        self.known[value] = labels
        return labels


def _clean(value: str) -> str:
    """The value without lone surrogates, which no page could carry."""
    return value.encode("utf-8", "replace").decode("utf-8")


def _sums() -> defaultdict[Labels, float]:
    return defaultdict(float)


@define(eq=False)
class Line:
    """What the calls to one endpoint add up to."""

    results: Counter[str] = field(factory=Counter)
    input: float = 0.0
    output: float = 0.0
    cache_read: float = 0.0
    cache_write: float = 0.0
    reasoning: float = 0.0
    cost: float = 0.0

    def add(self, attempt: Attempt, result: str) -> None:
        usage, cost = attempt.usage, attempt.cost
        self.results[result] += 1
        self.input += usage.input
        self.output += usage.output
        self.cache_read += usage.cache_read
        self.cache_write += usage.cache_write + usage.cache_write_1h
        self.reasoning += usage.reasoning
        if cost is not None and 0 < cost < INFINITY:
            self.cost += cost

    def copy(self) -> Line:
        return evolve(self, results=self.results.copy())


def _lines() -> defaultdict[Labels, Line]:
    return defaultdict(Line)


@define(eq=False)
class Counts:
    """What all records so far add up to."""

    bounds: Sequence[float]
    most: int
    requests: Sums = field(factory=_sums)  # client, op, outcome, status, cache
    lines: dict[Labels, Line] = field(factory=_lines)  # provider, model
    failovers: Sums = field(factory=_sums)  # reason
    skips: Sums = field(factory=_sums)  # reason
    request_seconds: Histogram = field(init=False)  # op, outcome
    first_output_seconds: Histogram = field(init=False)  # provider, model
    _clients: Values = field(init=False)
    _endpoints: Values = field(init=False)
    _reasons: Values = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.request_seconds = Histogram(self.bounds)
        self.first_output_seconds = Histogram(self.bounds)
        self._clients = Values(self.most)
        self._endpoints = Values(self.most)
        self._reasons = Values(self.most)

    def add(self, record: RequestRecord) -> None:
        """Take in a record. The name asked for is no label: any client may send any name."""
        facts, outcome = record.facts, record.outcome
        client, status = self._clients.labels(facts.client)[0], STATUSES.get(record.status, OTHER)
        self.requests[client, facts.op, outcome, status, record.cache] += 1
        self.request_seconds.observe((facts.op, outcome), record.ended - facts.at)
        failed = None
        for step in record.steps:
            if isinstance(step, Attempt):
                if failed is not None:
                    self.failovers[(failed,)] += 1
                failed = self._add_attempt(step)
            else:
                self.skips[self._reasons.labels(step.reason)] += 1

    def _add_attempt(self, attempt: Attempt) -> str | None:
        """Take in a call. Returns its failure, if that is what a further call would be made for."""
        endpoint = self._endpoints.endpoint(attempt.endpoint)
        kind = None if attempt.failure is None else attempt.failure.kind
        self.lines[endpoint].add(attempt, kind or "ok")
        if attempt.first_output is not None:
            self.first_output_seconds.observe(endpoint, attempt.first_output - attempt.started)
        return None if kind in ("lost", "cancelled") else kind

    def attempts(self) -> Sums:
        """Calls by provider, model and result."""
        lines = self.lines.items()
        return {(*labels, result): number for labels, line in lines for result, number in line.results.items()}

    def tokens(self) -> Sums:
        """Tokens by provider, model and type: those types that there were."""
        lines = self.lines.items()
        found = {(*labels, type_): getattr(line, type_) for labels, line in lines for type_ in TOKENS}
        return {labels: number for labels, number in found.items() if number}

    def cost(self) -> Sums:
        """USD by provider and model, where there was something to pay."""
        return {labels: line.cost for labels, line in self.lines.items() if line.cost}

    def snapshot(self) -> Counts:
        """A copy that no further record changes: for a thread to render."""
        copy = Counts(self.bounds, self.most)
        copy.requests, copy.failovers, copy.skips = {**self.requests}, {**self.failovers}, {**self.skips}
        copy.lines = {labels: line.copy() for labels, line in self.lines.items()}
        copy.request_seconds = self.request_seconds.copy()
        copy.first_output_seconds = self.first_output_seconds.copy()
        return copy
