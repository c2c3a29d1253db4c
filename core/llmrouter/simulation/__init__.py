"""Days of traffic through the real engine in virtual time, against upstreams that a trace describes.

A trace says what arrives and how upstreams answer (`trace`, `weather`, `upstreams`), a driver plays it (`driver`,
`clients`), and what came of it is counted (`ledger`) and told (`report`). The same seed gives the same report.
"""

from __future__ import annotations

from .driver import simulate
from .report import Report, summary
from .trace import Trace, bundled, read_trace

__all__ = ["Report", "Trace", "bundled", "read_trace", "simulate", "summary"]
