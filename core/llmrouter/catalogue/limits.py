"""Which buckets a turn and a client draw from, as the configuration says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from attrs import define, field

from llmrouter.settings import ClientKeySettings, LimitSettings, ProviderSettings
from llmrouter.types import Account, Ask, Bucket, Endpoint

PER_REQUEST = frozenset({"requests", "concurrent"})
"""Units of a client that are counted once per request; the others are counted once per attempt."""

MOST_TURNS = 20_000


@define(eq=False)
class Limits:
    """Buckets by turn and by client: made with the configuration, looked up on the request path."""

    providers: Mapping[str, ProviderSettings]
    clients: Mapping[str, ClientKeySettings]
    _by_turn: dict[tuple[str, str], tuple[Bucket, ...]] = field(factory=dict)
    _by_endpoint: dict[str, tuple[tuple[Bucket, ...], ...]] = field(factory=dict)
    _by_client: dict[str, tuple[Bucket, ...]] = field(factory=dict)
    _by_call: dict[tuple[str, str, str], tuple[Bucket, ...]] = field(factory=dict)
    _admissions: dict[str, tuple[Ask, ...]] = field(factory=dict)

    def turn(self, endpoint: Endpoint, account: Account) -> tuple[Bucket, ...]:
        """What one call through this account to this model draws from."""
        key = (endpoint.id, account.id)
        found = self._by_turn.get(key)
        if found is None:
            if len(self._by_turn) > MOST_TURNS:
                self._by_turn.clear()
            found = self._by_turn[key] = tuple(dict.fromkeys(self._of_turn(endpoint, account)))
        return found

    def turns(self, endpoint: Endpoint) -> tuple[tuple[Bucket, ...], ...]:
        """What one call to this model draws from, by account."""
        found = self._by_endpoint.get(endpoint.id)
        if found is None:
            if len(self._by_endpoint) > MOST_TURNS:
                self._by_endpoint.clear()
            turns = tuple([self.turn(endpoint, account) for account in endpoint.accounts])
            found = self._by_endpoint[endpoint.id] = turns
        return found

    def call(self, endpoint: Endpoint, account: Account, client: str) -> tuple[Bucket, ...]:
        """What one call for this client draws from: its own limits, and the client's that count by the call."""
        key = (endpoint.id, account.id, client)
        found = self._by_call.get(key)
        if found is None:
            if len(self._by_call) > MOST_TURNS:
                self._by_call.clear()
            own = [bucket for bucket in self.client(client) if bucket.unit not in PER_REQUEST]
            found = self._by_call[key] = (*self.turn(endpoint, account), *own)
        return found

    def client(self, name: str) -> tuple[Bucket, ...]:
        """What a request of this client draws from."""
        if name not in self._by_client:
            key = self.clients.get(name)
            limits = key.limits if key else ()
            self._by_client[name] = tuple(dict.fromkeys(_bucket(limit, f"client:{name}") for limit in limits))
        return self._by_client[name]

    def admission(self, name: str) -> tuple[Ask, ...]:
        """What each request of this client takes as a whole, however many calls it makes."""
        found = self._admissions.get(name)
        if found is None:
            own = [bucket for bucket in self.client(name) if bucket.unit in PER_REQUEST]
            found = self._admissions[name] = tuple([Ask(bucket, 1.0) for bucket in own])
        return found

    def all(self, endpoints: Iterable[Endpoint]) -> Sequence[Bucket]:
        """Every bucket of a configuration, for status pages."""
        turns = [bucket for endpoint in endpoints for buckets in self.turns(endpoint) for bucket in buckets]
        return [*dict.fromkeys([*turns, *(b for name in self.clients for b in self.client(name))])]

    def _of_turn(self, endpoint: Endpoint, account: Account) -> Iterable[Bucket]:
        settings = self.providers.get(endpoint.provider)
        if settings is None:
            return
        own = next((one.limits for one in settings.accounts if one.id == account.id), ())
        for limit in own or settings.limits:
            yield _bucket(limit, scope(endpoint, account, limit.scope or "account_model"))


def scope(endpoint: Endpoint, account: Account, kind: str) -> str:
    """The name under which a limit is counted. Accounts of one quota group share it."""
    if kind == "account_model":
        return f"group:{account.group}/{endpoint.model}"
    if kind == "account":
        return f"group:{account.group}"
    return f"provider:{endpoint.provider}"


def _bucket(limit: LimitSettings, scope: str) -> Bucket:
    return Bucket(scope, limit.unit, limit.amount, limit.window)
