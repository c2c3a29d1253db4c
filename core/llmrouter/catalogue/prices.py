"""What a request may cost, and what it did cost."""

from __future__ import annotations

from llmrouter.types import Card, Facts, Price, Tier, Usage

MILLION = 1_000_000
GUESSED_OUTPUT = 1_000
"""Tokens of output expected of a model that has no history yet."""


def free(price: Price) -> bool:
    return price.input == price.output == price.request == 0


def expected_output(facts: Facts) -> int:
    """Tokens of output that a request is expected to take."""
    most = facts.max_output
    return GUESSED_OUTPUT if most is None or most > GUESSED_OUTPUT else most


def expected_cost(card: Card, facts: Facts) -> float | None:
    """USD that a request is expected to cost; None where no price is known."""
    price = card.price
    if price is None:
        return None
    prompt = facts.input_tokens
    rates = _rates(price, prompt) if price.tiers else price
    output = expected_output(facts) if facts.op == "chat" else 0
    return (prompt * rates.input + output * rates.output) / MILLION + price.request


def cost(price: Price | None, usage: Usage) -> float | None:
    """USD that a call did cost: the provider's own figure wins; None where neither is known."""
    if usage.cost is not None:
        return usage.cost
    if price is None:
        return None
    rates = _rates(price, usage.prompt) if price.tiers else price
    read = rates.input if rates.cache_read is None else rates.cache_read
    write = rates.input if rates.cache_write is None else rates.cache_write
    hour = write if rates.cache_write_1h is None else rates.cache_write_1h
    tokens = (
        usage.input * rates.input
        + usage.cache_read * read
        + usage.cache_write * write
        + usage.cache_write_1h * hour
        + usage.completion * rates.output
    )
    return tokens / MILLION + price.request * (usage.searches or 1) + price.web_search * usage.searches


def _rates(price: Price, prompt: int) -> Price | Tier:
    """The prices of a prompt of this length: those of the highest tier that it reaches."""
    reached = [tier for tier in price.tiers if prompt >= tier.prompt]
    return max(reached, key=lambda tier: tier.prompt) if reached else price
