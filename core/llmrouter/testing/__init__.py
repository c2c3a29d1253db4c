"""For tests of plugins and of the core: contracts, virtual time, a scripted upstream.

Subclassing the contract of a plugin's kind gives its author dozens of tests. Contracts need pytest; of all that
is here a simulation uses virtual time, and a running router nothing.
"""

from __future__ import annotations

from .clock import VirtualLoop, run

__all__ = ["VirtualLoop", "run"]
