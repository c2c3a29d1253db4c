"""For tests of plugins and of the core: contracts, virtual time, a scripted upstream.

Subclassing the contract of a plugin's kind gives its author dozens of tests. Importing this package needs
pytest; nothing in it is used by a running router.
"""

from __future__ import annotations

from .clock import VirtualLoop, run

__all__ = ["VirtualLoop", "run"]
