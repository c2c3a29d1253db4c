"""Counts every finished request and shows the sums to Prometheus."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import field, frozen

from llmrouter import BuildContext, MetricsSinkType, hookimpl

if TYPE_CHECKING:
    from .page import PrometheusSink

BUCKETS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)


def _ascending(buckets: Iterable[float]) -> tuple[float, ...]:
    return tuple(sorted(float(bound) for bound in buckets))


@frozen(kw_only=True)
class Config:
    path: str = "/metrics"
    buckets: tuple[float, ...] = field(default=BUCKETS, converter=_ascending)  # seconds
    max_values: int = 500


def build(config: Config, context: BuildContext) -> PrometheusSink:
    from .page import PrometheusSink

    return PrometheusSink(config.path, config.buckets, config.max_values)


@hookimpl
def llmrouter_register_metrics_sinks() -> Iterable[MetricsSinkType]:
    schema = json.loads(Path(__file__).with_name("schema.json").read_text("utf-8"))
    return [MetricsSinkType(name="prometheus", config=Config, schema=schema, build=build)]
