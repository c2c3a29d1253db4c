"""Short traces, played through the real engine: what a test says of them, and what it looks at afterwards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from attrs import define, evolve, field, frozen

from llmrouter import builtin
from llmrouter.config import load
from llmrouter.simulation import Report, read_trace, simulate
from llmrouter.types import Attempt, RequestRecord

HERE = Path(__file__).parent
CONFIG = HERE / "three.yaml"
OUTAGES = HERE / "outages.yaml"

Said = Mapping[str, Any]
USUAL: Said = {"duration": "10m", "arrivals": {"every": "5s"}, "requests": [{}], "upstreams": {"*": {}}}


@define(eq=False)
class Records:
    all: list[RequestRecord] = field(factory=list)

    def record(self, record: RequestRecord) -> None:
        self.all.append(record)

    def attempts(self, provider: str = "") -> Sequence[Attempt]:
        steps = [step for record in self.all for step in record.steps if isinstance(step, Attempt)]
        return [step for step in steps if step.endpoint.startswith(provider)]


@frozen
class Played:
    report: Report
    records: Records

    @property
    def outcomes(self) -> Mapping[str, int]:
        """Those that there were."""
        return {name: count for name, count in self.report.figures["outcomes"].items() if count}

    @property
    def kinds(self) -> set[str]:
        """What became of attempts that failed."""
        return {step.failure.kind for step in self.records.attempts() if step.failure}


def play(
    folder: Path,
    trace: Said | Path,
    *,
    config: Said | Path = CONFIG,
    seed: int = 1,
    duration: float | None = None,
    **engine: Any,
) -> Played:
    """`trace` is a file, or what is other than usual; `engine` other than in the configuration."""
    records = Records()
    said = yaml.safe_load(config.read_text("utf-8")) if isinstance(config, Path) else dict(config)
    if engine:
        said["engine"] = engine
    loaded = load(written(folder / "llmrouter.yaml", said), {}, builtins=[(builtin, builtin.NAME)])
    path = trace if isinstance(trace, Path) else written(folder / "trace.yaml", {**USUAL, **trace})
    played = read_trace(path)
    played = evolve(played, duration=duration or played.duration)
    return Played(simulate(loaded.settings, loaded.plugins, played, seed, sinks=[records]), records)


def written(path: Path, said: Said) -> Path:
    path.write_text(yaml.safe_dump(dict(said)), "utf-8")
    return path
