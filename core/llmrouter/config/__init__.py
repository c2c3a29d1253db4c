"""The configuration: one YAML file, checked whole, as frozen settings.

`load` is what serves. `look` stops before settings are made, for those who only want to know or to show.
"""

from __future__ import annotations

from .document import Document, read
from .loading import Loaded, Reading, discover, load, look, structured
from .schema import compose, compose_installed, core_schema
from .show import dump, effective
from .start import find

__all__ = [
    "Document",
    "Loaded",
    "Reading",
    "compose",
    "compose_installed",
    "core_schema",
    "discover",
    "dump",
    "effective",
    "find",
    "load",
    "look",
    "read",
    "structured",
]
