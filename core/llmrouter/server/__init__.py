"""The HTTP side: a plain ASGI app, and what runs it."""

from __future__ import annotations

from .app import App, create_app

__all__ = ["App", "create_app"]
