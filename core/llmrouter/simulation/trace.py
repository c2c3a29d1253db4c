"""What a trace says, after it was checked: frozen. Durations are seconds, times seconds since the beginning.

The YAML keys, their defaults and their meaning are in `schemas/trace.schema.json`; the defaults here are the same
ones, and a test compares them.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from attrs import field, frozen
from cattrs import Converter

from llmrouter.config.check import check
from llmrouter.config.document import Document, read
from llmrouter.config.report import Report
from llmrouter.config.schema import schema_file
from llmrouter.config.structure import seconds
from llmrouter.config.variables import Resolved

Away = int | Literal["connect", "hang"]
How = int | Literal["connect", "hang", "cut", "stall", "garbage", "empty"]
"""A status, or a way to fail that has none."""

ANY = "*"
"""Stands for every provider that is not named."""
P95 = 1.6449
"""Standard deviations above the middle of a normal distribution."""


@frozen(kw_only=True)
class Burst:
    every: float
    lasts: float
    times: float


@frozen(kw_only=True)
class Arrivals:
    every: float
    process: Literal["poisson", "regular"] = "poisson"
    daily: tuple[float, ...] = ()  # none: all hours are alike
    bursts: tuple[Burst, ...] = ()


@frozen(kw_only=True)
class RequestKind:
    """`lasts` None: the answer takes what its tokens take."""

    share: float = 1.0
    model: str = "auto"
    dialect: str = "openai.chat"
    stream: bool = True
    input: int = 500
    output: int = 200
    lasts: float | None = None
    temperature: float = 1.0
    patience: float = 600.0


@frozen(kw_only=True)
class Spread:
    """A log-normal distribution by its middle and its 95th percentile."""

    p50: float
    p95: float

    def draw(self, random: random.Random) -> float:
        if self.p95 <= self.p50:
            return self.p50
        return self.p50 * math.exp(random.gauss(0.0, 1.0) * math.log(self.p95 / self.p50) / P95)


@frozen(kw_only=True)
class Limit:
    requests: int
    per: float


@frozen(kw_only=True)
class Mishap:
    """A call that fails by chance."""

    share: float
    how: How


@frozen(kw_only=True)
class Outage:
    """At a known time (`at`, `lasts`), or by chance (`up`, `down`); `slow` times as slow, else away."""

    at: float | None = None
    lasts: float = 0.0
    up: float | None = None
    down: float = 0.0
    how: Away = "connect"
    slow: float | None = None


@frozen(kw_only=True)
class Upstream:
    first_output: Spread = Spread(p50=0.4, p95=0.4)
    tokens_per_second: float = 60.0
    limit: Limit | None = None
    failures: tuple[Mishap, ...] = ()
    outages: tuple[Outage, ...] = ()


@frozen(kw_only=True)
class Shared:
    share: float
    hits: int = 2


@frozen(kw_only=True)
class Trace:
    document: Document = field(eq=False, repr=False)  # as it was written: errors have places in it
    duration: float
    arrivals: Arrivals
    requests: tuple[RequestKind, ...]
    upstreams: Mapping[str, Upstream] = field(factory=dict)
    shared_outages: Shared | None = None


def bundled() -> Path:
    """A trace that fits every configuration."""
    return Path(__file__).with_name("week.yaml")


def read_trace(path: Path) -> Trace:
    """The trace in a file. Raises ConfigError with everything that is wrong with it, each with its place."""
    document = read(path)
    report = Report(document)
    resolved = Resolved(document.value)
    check(schema_file("trace.schema.json"), resolved, report)
    report.check()
    trace: Trace = _converter().structure({**resolved.value, "document": document}, Trace)
    return trace


def _converter() -> Converter:
    one = Converter(forbid_extra_keys=True)
    one.register_structure_hook(float, lambda value, _: seconds(value) if isinstance(value, str) else float(value))
    plain = one.get_structure_hook(Spread)

    def spread(value: Any, _: Any) -> Spread:
        return Spread(p50=seconds(value), p95=seconds(value)) if isinstance(value, str) else plain(value, Spread)

    one.register_structure_hook(Spread, spread)
    one.register_structure_hook_func(lambda cls: cls in (Away, How, Document), lambda value, _: value)
    return one
