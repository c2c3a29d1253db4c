"""Limits that the contract of quota stores uses, and the steps of its tests."""

from __future__ import annotations

from llmrouter.protocols import QuotaStore
from llmrouter.types import Ask, Bucket, Exhausted, Granted

NOON = 1_000_000_800.0
"""A moment that begins a minute, and is far from the end of its hour and day."""

REQUESTS = Bucket("group:a/model", "requests", 6, "minute")
TOKENS = Bucket("group:a/model", "tokens", 100_000, "hour")
DOLLARS = Bucket("client:dev", "usd", 5, "day America/Los_Angeles")
PLACES = Bucket("client:dev", "concurrent", 3, "")


async def granted(store: QuotaStore, bucket: Bucket, amount: float) -> float:
    """Ask for an amount that must be there; what was granted."""
    answer = await store.grant([Ask(bucket, amount)])
    assert isinstance(answer, Granted), f"{amount} of {bucket} should be there: {answer}"
    [got] = answer.amounts
    assert got >= amount - 1e-9
    return got


async def refused(store: QuotaStore, bucket: Bucket, amount: float) -> float:
    """Ask for an amount that must not be there; when to try again."""
    answer = await store.grant([Ask(bucket, amount)])
    assert isinstance(answer, Exhausted), f"{amount} of {bucket} should not be there: {answer}"
    assert answer.bucket == bucket
    return answer.retry_at


async def spend(store: QuotaStore, bucket: Bucket, amount: float) -> None:
    """Take an amount and report it spent."""
    got = await granted(store, bucket, amount)
    await store.settle({bucket: amount}, {bucket: got - amount} if got > amount else {})


async def gone(store: QuotaStore, bucket: Bucket) -> float:
    return (await store.usage([bucket]))[bucket]
