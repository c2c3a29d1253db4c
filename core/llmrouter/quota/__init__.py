"""For authors of quota stores: windows, and the arithmetic of a bucket that all stores share."""

from __future__ import annotations

from .books import TTL, Book, Key, Lease, key_of, lend
from .windows import Window, same_window, window

__all__ = ["TTL", "Book", "Key", "Lease", "Window", "key_of", "lend", "same_window", "window"]
