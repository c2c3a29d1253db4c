"""The sums: plain numbers, because a record has 5 µs. What is read off a record stands in `Counts.add`."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from attrs import define, evolve, field

from llmrouter.types import Attempt, Failure, RequestRecord, Skip

OTHER = "other"
LONGEST = 200
"""Characters of a name that gets lines of its own."""
INFINITY = float("inf")
STATUSES = {status: str(status) for status in range(100, 600)}
TOKENS = ("input", "output", "cache_read", "cache_write", "reasoning")

Labels = tuple[str, ...]
Sums = dict[Labels, float]
Said = tuple[str, str, str, int, str]
"""Client, operation, outcome, status and cache, as they stand in a record."""


@define(eq=False)
class Histogram:
    """How many observations fell below each bound (not cumulative; the last is for all above), and their sum."""

    bounds: Sequence[float]
    counts: list[int] = field(init=False)
    total: float = 0.0  # seconds

    def __attrs_post_init__(self) -> None:
        self.counts = [0] * (len(self.bounds) + 1)

    def observe(self, seconds: float) -> None:
        if not 0 <= seconds < INFINITY:
            seconds = 0.0  # a clock that was set back: counted, without a weight
        self.counts[bisect_left(self.bounds, seconds)] += 1
        self.total += seconds

    def add(self, other: Histogram) -> None:
        self.counts = [mine + theirs for mine, theirs in zip(self.counts, other.counts, strict=True)]
        self.total += other.total

    def number(self) -> int:
        return sum(self.counts)

    def copy(self) -> Histogram:
        copy = Histogram(self.bounds)
        copy.add(self)
        return copy


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


@define(eq=False)
class Line:
    """What the calls to one endpoint add up to."""

    first_output: Histogram
    served: int = 0
    failed: Counter[str] = field(factory=Counter)  # by the class of the failure
    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0
    reasoning: int = 0
    cost: float = 0.0

    def add(self, attempt: Attempt) -> None:
        usage, cost = attempt.usage, attempt.cost
        if attempt.failure is None:
            self.served += 1
        else:
            self.failed[attempt.failure.kind] += 1
        self.input += usage.input
        self.output += usage.output
        self.cache_read += usage.cache_read
        self.cache_write += usage.cache_write + usage.cache_write_1h
        self.reasoning += usage.reasoning
        if cost is not None and 0 < cost < INFINITY:
            self.cost += cost
        if attempt.first_output is not None:
            self.first_output.observe(attempt.first_output - attempt.started)

    def results(self) -> Mapping[str, int]:
        """How many calls there were, by their result."""
        return {"ok": self.served, **self.failed} if self.served else self.failed

    def copy(self) -> Line:
        return evolve(self, first_output=self.first_output.copy(), failed=self.failed.copy())


def _sums() -> defaultdict[Labels, float]:
    return defaultdict(float)


@define(eq=False)
class Counts:
    """What all records so far add up to.

    What has labels of its own is found by what a record says, as it stands there, in `_times` and `_lines`.
    """

    bounds: Sequence[float]
    most: int
    times: dict[Labels, Histogram] = field(factory=dict)  # of requests: client, op, outcome, status, cache
    lines: dict[Labels, Line] = field(factory=dict)  # provider, model
    failovers: Sums = field(factory=_sums)  # reason
    skips: Sums = field(factory=_sums)  # reason
    _times: dict[Said, Histogram] = field(init=False, factory=dict)
    _lines: dict[str, Line] = field(init=False, factory=dict)
    _clients: Values = field(init=False)
    _endpoints: Values = field(init=False)
    _reasons: Values = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._clients = Values(self.most)
        self._endpoints = Values(self.most)
        self._reasons = Values(self.most)

    def add(self, record: RequestRecord) -> None:
        """Take in a record. The name asked for is no label: any client may send any name."""
        facts = record.facts
        said = (facts.client, facts.op, record.outcome, record.status, record.cache)
        times = self._times.get(said) or self._times_of(said)
        times.observe(record.ended - facts.at)
        failed: str | None = None
        for step in record.steps:
            if type(step) is Attempt:
                if failed is not None:
                    self.failovers[(failed,)] += 1
                line = self._lines.get(step.endpoint) or self._line_of(step.endpoint)
                line.add(step)
                failed = None if step.failure is None else _cause(step.failure)
            elif type(step) is Skip:
                self.skips[self._reasons.labels(step.reason)] += 1

    def _times_of(self, said: Said) -> Histogram:
        client, op, outcome, status, cache = said
        labels = (*self._clients.labels(client), op, outcome, STATUSES.get(status, OTHER), cache)
        times = self.times.setdefault(labels, Histogram(self.bounds))
        if client in self._clients.known and status in STATUSES:
            self._times[said] = times
        return times

    def _line_of(self, endpoint: str) -> Line:
        line = self.lines.setdefault(self._endpoints.endpoint(endpoint), Line(Histogram(self.bounds)))
        if endpoint in self._endpoints.known:
            self._lines[endpoint] = line
        return line

    def requests(self) -> Sums:
        """Requests by client, operation, outcome, status and cache."""
        return {labels: times.number() for labels, times in self.times.items()}

    def request_seconds(self) -> Mapping[Labels, Histogram]:
        """Times of requests by operation and outcome."""
        found: dict[Labels, Histogram] = {}
        for (_, op, outcome, _, _), times in self.times.items():
            found.setdefault((op, outcome), Histogram(self.bounds)).add(times)
        return found

    def first_output_seconds(self) -> Mapping[Labels, Histogram]:
        """Times to the first output by provider and model, of those that gave any."""
        return {labels: line.first_output for labels, line in self.lines.items() if line.first_output.number()}

    def attempts(self) -> Sums:
        """Calls by provider, model and result."""
        lines = self.lines.items()
        return {(*labels, result): number for labels, line in lines for result, number in line.results().items()}

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
        copy.times = {labels: times.copy() for labels, times in self.times.items()}
        copy.lines = {labels: line.copy() for labels, line in self.lines.items()}
        copy.failovers, copy.skips = {**self.failovers}, {**self.skips}
        return copy


def _cause(failure: Failure) -> str | None:
    """The failure, if it is what a further call would be made for."""
    return None if failure.kind in ("lost", "cancelled") else failure.kind
