"""One trace under several seeds, over as many processes as there are processors."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from attrs import evolve, frozen

from llmrouter import builtin
from llmrouter.config import Loaded, load

from .driver import DAY, Progress, simulate
from .report import Report
from .trace import Trace, bundled, read_trace


@frozen
class Task:
    """What is played, by the files it stands in: another process reads them itself. `days` cuts the trace short."""

    config: Path | None = None
    trace: Path | None = None
    days: float | None = None

    def configured(self, environ: Mapping[str, str]) -> Loaded:
        """The configuration; keys of providers may be missing, for nobody is asked. Raises ConfigError."""
        builtins = [(builtin, builtin.NAME)]
        return load(self.config, environ, builtins=builtins, require_plugins=True, require_variables=False)

    def traced(self) -> Trace:
        """Raises ConfigError."""
        trace = read_trace(self.trace or bundled())
        return trace if self.days is None else evolve(trace, duration=min(trace.duration, self.days * DAY))

    def play(self, seed: int, progress: Progress = lambda share: None) -> Report:
        """Raises ConfigError."""
        loaded = self.configured(os.environ)
        return simulate(loaded.settings, loaded.plugins, self.traced(), seed, progress=progress)


def play_all(task: Task, seeds: Sequence[int], progress: Progress = lambda share: None) -> Sequence[Report]:
    """A report for each seed, in their order. Raises ConfigError."""
    if len(seeds) == 1:
        return [task.play(seeds[0], progress)]
    with _pool(len(seeds)) as pool:
        futures = [pool.submit(task.play, seed) for seed in seeds]
        try:
            for done, one in enumerate(as_completed(futures), 1):
                one.result()
                progress(done / len(seeds))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
        return [one.result() for one in futures]


def _pool(most: int) -> ProcessPoolExecutor:
    """Fresh processes: a copy of this one could hold locks of threads that are not in it."""
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(min(most, os.cpu_count() or 1), mp_context=context)
