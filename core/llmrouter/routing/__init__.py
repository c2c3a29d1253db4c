"""Which endpoints may serve a request, in which order, and why. Pure and synchronous."""

from .decide import Look, Ranking, decide, rerank, speak
from .orders import ASKED, CONFIGURED, Order
from .reasons import phrase

__all__ = ["ASKED", "CONFIGURED", "Look", "Order", "Ranking", "decide", "phrase", "rerank", "speak"]
