"""What if: a catalogue of faults, played against a configuration by scripted upstreams on this machine.

A `Scenario` is one fault. `run` plays scenarios before a real router behind a real server, asks it as an SDK would,
and says on a `Card` what became of each: the whole answer, an honest error, or worse.
"""

from __future__ import annotations

from .card import Card, Result
from .catalogue import catalogue, chosen
from .running import Options, run
from .scenario import Scenario, Stage

__all__ = ["Card", "Options", "Result", "Scenario", "Stage", "catalogue", "chosen", "run"]
