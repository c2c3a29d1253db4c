"""What a request may cost, and what it did cost."""

from __future__ import annotations

from llmrouter.types import Facts, Price, Tier, Usage

MILLION = 1_000_000
GUESSED_OUTPUT = 1_000
"""Tokens of output expected of a model that has no history yet."""


def free(price: Price) -> bool:
    return price.input == price.output == price.request == 0


def expected_output(facts: Facts) -> int:
    """Tokens of output that a request is expected to take."""
    most = facts.max_output
    return GUESSED_OUTPUT if most is None or most > GUESSED_OUTPUT else most


def expected_cost(price: Price | None, prompt: int, output: int) -> float | None:
    """USD that a request of so many tokens is expected to cost; None where no price is known."""
    if price is None:
        return None
    rates = _rates(price, prompt) if price.tiers else price
    return (prompt * rates.input + output * rates.output) / MILLION + price.request


def cost(price: Price | None, usage: Usage) -> float | None:
    """USD that a call did cost: the provider's own figure wins; None where neither is known."""
    if usage.cost is not None:
        return usage.cost
    if price is None:
        return None
    rates = _rates(price, usage.prompt) if price.tiers else price
    tokens = usage.input * rates.input + (usage.output + usage.reasoning) * rates.output
    if usage.cache_read or usage.cache_write or usage.cache_write_1h:
        tokens += _cached(rates, usage)
    if usage.searches:
        return tokens / MILLION + (price.request + price.web_search) * usage.searches
    return tokens / MILLION + price.request


def _cached(rates: Price | Tier, usage: Usage) -> float:
    read = rates.input if rates.cache_read is None else rates.cache_read
    write = rates.input if rates.cache_write is None else rates.cache_write
    hour = write if rates.cache_write_1h is None else rates.cache_write_1h
    return usage.cache_read * read + usage.cache_write * write + usage.cache_write_1h * hour


def _rates(price: Price, prompt: int) -> Price | Tier:
    """The prices of a prompt of this length: those of the highest tier that it reaches."""
    reached = [tier for tier in price.tiers if prompt >= tier.prompt]
    return max(reached, key=lambda tier: tier.prompt) if reached else price
