"""Windows of limits, as `llmrouter.quota` counts them."""

from __future__ import annotations

from llmrouter.quota import Window, same_window, window

__all__ = ["Window", "same_window", "window"]
