"""Serving a request: exchange, attempts, health, quota, recordings and memory."""

from .engine import Engine
from .world import World

__all__ = ["Engine", "World"]
