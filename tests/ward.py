"""A health with its clock, and short words for what happens to it."""

from __future__ import annotations

import random
from collections.abc import Sequence

from attrs import define, field

from llmrouter.engine.health import Health
from llmrouter.engine.probe_lock import NoLock, ProbeLock
from llmrouter.engine.ticket import Ticket
from llmrouter.settings import BreakerSettings
from llmrouter.types import Account, Endpoint, Failure, Hold, Kind, Scope


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


ONE, TWO = Account("1", "g1"), Account("2", "g2")


def endpoint(id: str = "a/m", *accounts: Account) -> Endpoint:
    provider, _, model = id.partition("/")
    return Endpoint(provider=provider, model=model, dialects=("openai.chat",), accounts=accounts or (ONE,))


A, OTHER_MODEL, ELSEWHERE = endpoint("a/m"), endpoint("a/n"), endpoint("b/m")


@define
class Lock:
    """One of a worker to whose scopes others have a claim, too."""

    busy: set[str] = field(factory=set)
    taken: set[str] = field(factory=set)

    def take(self, scope: str) -> bool:
        if scope not in self.busy:
            self.taken.add(scope)
        return scope not in self.busy

    def give(self, scope: str) -> None:
        self.taken.remove(scope)


class Ward:
    """A health, its clock, and short words for what happens."""

    def __init__(
        self,
        breaker: BreakerSettings | None = BreakerSettings(),  # noqa: B008 (frozen)
        lock: ProbeLock = NoLock(),  # noqa: B008 (without state)
        seed: int = 3,
    ) -> None:
        self.clock = Clock()
        self.health = Health(breaker, self.clock, random.Random(seed), lock)

    def fail(
        self,
        kind: Kind = "server_error",
        scope: Scope = "endpoint",
        *,
        times: int = 1,
        retry_in: float | None = None,
        at: Endpoint = A,
    ) -> None:
        for _ in range(times):
            retry_at = None if retry_in is None else self.clock.now + retry_in
            self.begin(at).end(Failure(kind=kind, scope=scope, retry_at=retry_at), None)

    def succeed(self, times: int = 1, ttft: float = 0.1, at: Endpoint = A) -> None:
        for _ in range(times):
            self.begin(at).end(None, ttft)

    def begin(self, at: Endpoint = A) -> Ticket:
        return self.health.begin(at, at.accounts[0])

    def claim(self, at: Endpoint = A) -> Ticket | Hold:
        return self.health.claim(at, at.accounts[0], self.clock())

    def end_all(self, ttft: Sequence[float], tokens: int = 0) -> None:
        for one in ttft:
            self.begin().end(None, one, tokens)

    def held(self, at: Endpoint = A, account: Account | None = None) -> float | None:
        """Seconds for which it is held."""
        hold = self.health.hold(at, account or at.accounts[0])
        return hold.until - self.clock.now if hold else None

    def opened(self) -> Ward:
        self.fail(times=5)
        assert self.held()
        return self

    def wait_until_half_open(self) -> None:
        held = self.held()
        assert held
        self.clock.now += held + 0.001
