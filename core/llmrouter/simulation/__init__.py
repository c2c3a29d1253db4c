"""Days of traffic through the real engine in virtual time, against upstreams that a trace describes.

A trace says what arrives and how upstreams answer (`trace`, `weather`, `script`, `replies`, `upstreams`), a driver
plays it (`driver`, `clients`), and what came of it is counted (`ledger`) and told (`report`), for several seeds at
once (`many`). The same configuration, trace and seed give the same report.
"""

from __future__ import annotations

from .driver import simulate
from .many import Task, play_all
from .report import Report, summary
from .trace import Trace, bundled, read_trace

__all__ = ["Report", "Task", "Trace", "bundled", "play_all", "read_trace", "simulate", "summary"]
