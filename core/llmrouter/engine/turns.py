"""Candidates × accounts, one by one: what failover draws from. No turn is used twice in a request."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from hashlib import blake2b

import msgspec

from llmrouter.settings import Select
from llmrouter.types import Account, Candidate, Endpoint, Failure, Hold, Ranked

from .scopes import charged, scopes


class Turn(msgspec.Struct, frozen=True, gc=False):
    """One candidate through one account."""

    candidate: Candidate
    endpoint: Endpoint
    account: Account

    def scopes(self) -> tuple[str, ...]:
        return scopes(self.endpoint, self.account)


class Turns(msgspec.Struct, eq=False):
    """The plan, account by account. A failure bars its scope for the rest of the request."""

    plan: Sequence[Ranked]
    endpoint: Callable[[str], Endpoint]
    accounts: Callable[[Endpoint], Sequence[Account]]  # in the order they are to be tried now
    hold: Callable[[Endpoint, Account], Hold | None]
    _opened: int = 0  # so many of the plan's candidates
    _stack: list[Turn] = []  # of these the last one is next
    _barred: set[str] = set()
    _above: int | None = None  # tokens: only windows larger than this are of use
    _all_free: bool = True  # nothing was ever barred

    def take(self, avoid: str = "") -> Turn | None:
        """The next turn that nothing in this request forbids, of another provider than `avoid`."""
        if avoid:
            return self._take_other(avoid)
        while True:
            while self._stack:
                turn = self._stack.pop()
                if self._all_free or not self._is_barred(turn):
                    return turn
            if self._opened == len(self.plan):
                return None
            self._stack = self._open(self.plan[self._opened].candidate)
            self._opened += 1

    def _take_other(self, avoid: str) -> Turn | None:
        aside: list[Turn] = []
        try:
            while (turn := self.take()) and turn.endpoint.provider == avoid:
                aside.append(turn)
            return turn
        finally:
            self.again(aside)

    def again(self, turns: Sequence[Turn]) -> None:
        """Turns that were not called come back, in their order, before what is left."""
        self._stack += reversed(turns)

    def put_back(self, turn: Turn) -> None:
        """Grant a turn its repeat: it comes next, whatever its failure barred."""
        self._barred.difference_update(turn.scopes())
        self._stack.append(turn)

    def bar(self, turn: Turn, failure: Failure) -> None:
        if scope := charged(turn.endpoint, turn.account, failure.scope):
            self._barred.add(scope)
            self._all_free = False

    def need_larger(self, candidate: Candidate) -> None:
        """From now on only candidates whose window is larger, or unknown."""
        if candidate.window is not None:
            self._above = max(self._above or 0, candidate.window)
            self._all_free = False

    def peer(self, tier: int) -> bool:
        """Whether a turn of this tier is left that could be called now."""
        left = [one.candidate for one in self.plan[self._opened :] if one.candidate.tier == tier]
        later = (turn for candidate in left for turn in self._open(candidate))
        return any(self._is_free(turn) for turn in [*self._stack, *later] if turn.candidate.tier == tier)

    def _open(self, candidate: Candidate) -> list[Turn]:
        """The turns of a candidate, the first one last."""
        endpoint = self.endpoint(candidate.endpoint)
        return [Turn(candidate, endpoint, account) for account in reversed(self.accounts(endpoint))]

    def _is_free(self, turn: Turn) -> bool:
        return not self._is_barred(turn) and self.hold(turn.endpoint, turn.account) is None

    def _is_barred(self, turn: Turn) -> bool:
        if self._barred and not self._barred.isdisjoint(turn.scopes()):
            return True
        window = turn.candidate.window
        return self._above is not None and window is not None and window <= self._above


def order(
    accounts: Sequence[Account],
    select: Select,
    *,
    headroom: Callable[[Account], float],
    used: Callable[[Account], int],
    session: str | None,
    draw: random.Random,
) -> Sequence[Account]:
    """Accounts in the order they are to be tried: rendezvous with a session, else as `select` says."""
    if len(accounts) < 2:
        return accounts
    if session is not None:
        return sorted(accounts, key=lambda account: _rendezvous(session, account), reverse=True)
    if select == "most_headroom":
        return sorted(accounts, key=lambda account: (-headroom(account), used(account)))
    if select in ("round_robin", "least_used"):
        return sorted(accounts, key=used)
    if select == "weighted":
        return sorted(accounts, key=lambda account: draw.random() ** (1 / account.weight), reverse=True)
    return draw.sample(accounts, len(accounts))


def _rendezvous(session: str, account: Account) -> bytes:
    return blake2b(f"{session}\0{account.id}".encode(), digest_size=8).digest()
